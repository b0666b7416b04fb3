"""Label files held against a data set; what they look like stands in `compare_gan.data.label_rows`.

Each row is about one image. It says which by its number, by its name, or by both, and then they must agree.
Images that no row is about are unlabelled.
"""

import dataclasses
import hashlib
import logging
import math
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.origin import warn_once
from compare_gan.data.base import UNLABELLED, Split, hardened
from compare_gan.data.classes import MISSING, with_distinct_names
from compare_gan.data.label_rows import (
    COUNT,
    INDEX,
    LABEL,
    NAME,
    Rows,
    file_bytes,
    files_of,
    is_number,
    read_rows,
    rows_of_arrays,
)
from compare_gan.data.layout import is_image
from compare_gan.data.records import Contents, Part
from compare_gan.data.splits import MOST_CLASSES

NOWHERE, SEVERAL = -1, -2  # in place of the number of an image
log = logging.getLogger(__name__)


def label_contents(path: Path, contents: Contents) -> Contents:
    """A source under the labels of a label file, before a test split is held out.

    A row names an image of either split; where it has no name, its index counts the training images. Training
    images that no row is about become unlabelled. Such test images keep their labels, if the classes that
    they are of are still there.

    The classes are those of the source. They are the file's own if the source has none; or if the file speaks
    of others and the source has just one, as with a folder of images that is no class, or labels no training
    image.

    Raises:
      UserError: it cannot be read, is not a label file, labels no image, or does not fit the images or the
        classes.
    """
    contents, rows = with_distinct_names(contents), read_rows(path)
    train, test, old_names = contents.train, contents.test, contents.class_names
    named = _Named.of_parts([train] if test is None else [train, test])
    if rows.index is None or (
        rows.names and named.names
    ):  # names are safer: an index may be of another split
        image = _by_name(rows, rows.names or [], named)
    else:
        image = _by_index(rows, rows.index, len(train), named.names)
    nobody = (hardened(train.labels) == UNLABELLED).all()
    unrelated = (len(old_names) == 1 or bool(old_names) and nobody) and not _fits(rows, old_names)
    labels, class_names = _classes(rows, () if unrelated else old_names)
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all():  # one-hot
        labels = hardened(labels)
    in_train, old_labels = image < len(train), hardened(train.labels)
    train = Part(train.records, _spread(image[in_train], labels[in_train], len(train)))
    if test is not None:
        hard = hardened(test.labels).copy()
        if class_names != old_names:
            numbers = [class_names.index(name) if name in class_names else UNLABELLED for name in old_names]
            hard = np.array([*numbers, UNLABELLED], np.int32)[hard]  # -1 is the last entry
        hard[image[~in_train] - len(train)] = hardened(labels[~in_train])
        test = Part(test.records, hard)
    count = int((hardened(train.labels) != UNLABELLED).sum())
    if not count:
        tests = f"{(~in_train).sum()} test images but " if (~in_train).any() else ""
        raise UserError(f"{path}: labels {tests}no training image; training needs labels of training images")
    notes = [f"{path.name} labels {count} of {len(train)} training images"]
    replaced = (old_labels != UNLABELLED) & (hardened(train.labels) == UNLABELLED)
    if replaced.any():
        notes.append(
            f"{replaced.sum()} other images have a label in the data, which {path.name} replaces by none"
        )
    notes += [f"{path.name}: {note}" for note in rows.notes]
    if unrelated:
        notes.append(f"the classes are those of {path.name}, not {', '.join(old_names[:10])}")
    return dataclasses.replace(
        contents, train=train, test=test, class_names=class_names, notes=(*contents.notes, *notes)
    )


def read_labels(
    path: Path, split: Split, class_names: tuple[str, ...] = (), others: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels that a label file gives to the images of a split.

    Args:
      path: the label file.
      split: whose images it is about.
      class_names: the classes that it may speak of; empty: those that it speaks of.
      others: names of images that are not of the split; rows that name them are skipped.

    Returns:
      [N] int32, -1 where there is none; or of soft labels [N, K] float32, zero where there is none. And the
      names of the classes: those given, or the file's own, which are numbers if it names none.

    Raises:
      UserError: it cannot be read, is not a label file, or does not fit the images or the classes.
    """
    rows = read_rows(path)
    for note in rows.notes:
        log.warning("%s: %s", path, note)
    names = _all_named(split.names)
    if rows.index is None:
        every = [*names, *_all_named(others)]
        image = _by_name(rows, rows.names or [], _Named(every, every, len(names)))
    else:
        image = _by_index(rows, rows.index, len(split), names)
    labels, class_names = _classes(rows, class_names)
    ours = image < len(split)
    if skipped := int((~ours).sum()):
        warn_once(f"{path}: skipped {skipped} rows of held-out images")
    return _spread(image[ours], labels[ours], len(split)), class_names


def numbers_training_split(path: Path, size: int) -> bool:
    """Whether a label file counts the images of the training split, as the files of `write_labels` do.

    All others count the images of the source, before a test split is held out. A file without names of images
    that has a row for each number below `size` is taken for one that an older version wrote.

    Raises:
      UserError: it cannot be read, or is not a label file.
    """
    if path.suffix.lower() != ".npz":  # `write_labels` writes no other, and a table may be long
        return False
    rows = read_rows(path)
    if rows.count is not None or rows.index is None:
        return rows.count is not None
    return rows.names is None and np.array_equal(rows.index, np.arange(size))


def write_labels(path: Path, index: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> None:
    """Writes an `.npz` label file; the same labels, in any order, make the same bytes.

    Args:
      path: the file.
      index: [M] which images have a label.
      labels: [M] class numbers, or [M, K] probabilities.
      names: [N] what the data set calls its images, all of them. The file then holds N, and the names of its
        rows if each image has one, so that a reader can tell whether its images are the same.

    Raises:
      UserError: the arrays are not what a label file holds.
    """
    rows = rows_of_arrays(path, {INDEX: index, LABEL: labels})
    rows.refuse(index < 0, lambda i: f"index {index[i]} is negative")
    _check_once(rows, index, index)
    labels, _ = _classes(rows, ())
    order = np.argsort(index)
    arrays = {INDEX: index[order].astype(np.int64), LABEL: labels[order]}
    if len(names):
        arrays[COUNT] = np.array(len(names), np.int64)
    if named := _all_named(names):
        arrays[NAME] = np.array([named[i] for i in arrays[INDEX]], np.str_)
    with atomic(path) as file:  # NumPy dates every member 1980-01-01, so the clock leaves no trace
        np.savez(file, **arrays)  # type: ignore[arg-type]


def digest(path: Path) -> str:
    """SHA-256 of a label file; of a pattern, that of its files one after another.

    Raises:
      UserError: it cannot be read.
    """
    found = hashlib.sha256()
    for file in files_of(path):
        found.update(file_bytes(file))
    return found.hexdigest()


class _Named:
    """Images found by name: the name itself, the end of the image's path, or a path that ends in the name.

    Where training and test images share a name, the training image counts.
    """

    def __init__(self, names: Sequence[str], paths: Sequence[str], train: int):
        """Names and whole paths of all images, of which the first `train` are for training."""
        self.names, self.paths, self.train = names, paths, train
        self.whole = self._places(names)
        self.endings = dict[tuple[int, bool], dict[str, int]]()

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> "_Named":
        """Without names if one image has none."""
        records = [(part.records, i) for part in parts for i in range(len(part))]
        names = _all_named([found.name(i) for found, i in records])
        where = [found.where(i) for found, i in records[: len(names)]]
        paths = [path if path.endswith(name) else name for path, name in zip(where, names, strict=True)]
        return cls(names, paths, len(parts[0]))

    def find(self, given: str) -> int:
        """The number of the image that is meant, or `NOWHERE` or `SEVERAL`."""
        if given in self.whole:
            return self.whole[given]
        folders, suffix = _folders(given, True), is_image(given)
        for length in range(len(folders), 0, -1):  # the longer the common end, the better
            i = self._ending(length, suffix).get("/".join(folders[-length:]), NOWHERE)
            if i != NOWHERE and length == len(folders):
                return i
            if i >= 0 and length >= len(_folders(self.names[i], suffix)):
                return i
        return NOWHERE

    def _ending(self, length: int, suffix: bool) -> dict[str, int]:
        """The images by the last `length` parts of their paths, with or without the suffix of the file."""
        if (length, suffix) not in self.endings:
            ends = ("/".join(_folders(path, suffix)[-length:]) for path in self.paths)
            self.endings[length, suffix] = self._places(ends)
        return self.endings[length, suffix]

    def _places(self, names: Iterable[str]) -> dict[str, int]:
        places = dict[str, int]()
        for i, name in enumerate(names):
            if name not in places:
                places[name] = i
            elif i < self.train or places[name] >= self.train:
                places[name] = SEVERAL
        return places


def _folders(path: str, suffix: bool) -> list[str]:
    """The parts of a path, with slashes of either kind, and with accents as one letter or as two."""
    path = unicodedata.normalize("NFC", path).replace("\\", "/")
    path = path if suffix else posixpath.splitext(path)[0]
    return [folder for folder in path.split("/") if folder not in ("", ".")]


def _by_index(rows: Rows, index: np.ndarray, count: int, names: Sequence[str]) -> np.ndarray:
    """The number of the image that each row is about, [M]."""
    if rows.count not in (None, count):
        raise UserError(
            f"{rows.path}: is for {rows.count} images, but there are {count}; made from other data?"
        )
    rows.refuse(
        (index < 0) | (index >= count),
        lambda i: f"index {index[i]} is out of range for {count} images; made from other data?",
    )
    _check_once(rows, index, index)
    if names and rows.names:
        pairs = zip((names[k] for k in index), rows.names, strict=True)
        rows.refuse(
            np.array([given not in (name, _base(name)) for name, given in pairs]),
            lambda i: (
                f"calls image {index[i]} {rows.names[i]!r}, but here that is {names[index[i]]!r}; "  # type: ignore[index]
                f"made from other data?"
            ),
        )
    return index


def _by_name(rows: Rows, given: Sequence[str], images: _Named) -> np.ndarray:
    """The number of the image that each row is about, [M]."""
    if not images.names:
        raise UserError(f"{rows.path}: the images of this data set have no names; give {INDEX}, not {NAME}")
    image = np.array([images.find(name) for name in given], np.int64)
    rows.refuse(
        image == NOWHERE, lambda i: f"no image is called {given[i]!r}; names are like {images.names[0]!r}"
    )
    rows.refuse(
        image == SEVERAL, lambda i: f"several images are called {given[i]!r}; give whole names, or {INDEX}"
    )
    _check_once(rows, image, given)
    return image


def _check_once(rows: Rows, image: np.ndarray, called: Sequence[object] | np.ndarray) -> None:
    again = np.ones(len(image), bool)
    again[np.unique(image, return_index=True)[1]] = False
    rows.refuse(again, lambda i: f"image {called[i]} has a label already; label each image once")


def _all_named(names: Sequence[str]) -> list[str]:
    """The names, or none if one is missing."""
    return found if all(found := list(names)) else []


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _spread(image: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The labels of these images among all, [count] or [count, K]."""
    if labels.ndim == 1:
        whole = np.full(count, UNLABELLED, np.int32)
    else:
        whole = np.zeros((count, labels.shape[1]), np.float32)
    whole[image] = labels
    return whole


def _fits(rows: Rows, class_names: tuple[str, ...]) -> bool:
    try:
        _classes(rows, class_names)
    except UserError:
        return False
    return True


def _classes(rows: Rows, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers [M] int32 or probabilities [M, K] float32, and the names of the classes."""
    if rows.labels.ndim == 2:
        return _soft(rows, class_names)
    labels = rows.labels
    if labels.dtype.kind == "U":
        labels, class_names = _numbered(rows, class_names)
    count = len(class_names) or MOST_CLASSES
    rows.refuse(
        (labels < UNLABELLED) | (labels >= count),
        lambda i: f"label {labels[i]} is not one of the classes 0 to {count - 1}, nor -1: unlabelled",
    )
    return labels.astype(np.int32), class_names or _numerals(labels.max(initial=UNLABELLED) + 1)


def _numerals(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _numbered(rows: Rows, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Words as class numbers [M], and the names of the classes, if words or caller name them."""
    words, first, back = np.unique(rows.labels, return_index=True, return_inverse=True)
    places = dict(zip(map(str, words), first, strict=True))
    labelled = [word for word in places if word in class_names or not _is_missing(word)]
    if not class_names and any(_number(word) is None for word in labelled):
        _check_words(rows, labelled, places)
        class_names, numbers = tuple(labelled), {word: k for k, word in enumerate(labelled)}
    else:
        numbers = {word: _number_of(rows, word, class_names, places[word]) for word in labelled}
    return np.array([numbers.get(str(word), UNLABELLED) for word in words], np.int64)[back], class_names


def _check_words(rows: Rows, words: Sequence[str], places: dict[str, int]) -> None:
    """Raises UserError for measurements where classes are wanted."""
    if all(map(is_number, words)):
        word = next(word for word in words if _number(word) is None)
        raise UserError(f"{rows.where(places[word])}: label {word!r} is neither a whole number nor a word")


def _number_of(rows: Rows, word: str, class_names: tuple[str, ...], place: int) -> int:
    number = _number(word)
    named = class_names.index(word) if word in class_names else None
    if number is None and named is None:
        alike = [name for name in class_names if name.startswith(f"{word} (")]
        if alike:
            raise UserError(
                f"{rows.where(place)}: several classes are called {word!r}; "
                f"say which: {', '.join(map(repr, alike))}, or its number"
            )
        some = f"{class_names[0]!r} to {class_names[-1]!r}"
        raise UserError(
            f"{rows.where(place)}: label {word!r} is neither the number of a class nor one of {some}"
        )
    if number is not None and named is not None and number != named and number < len(class_names):
        raise UserError(
            f"{rows.where(place)}: label {word!r} is the name of class {named}, but a number, too; "
            f"give all numbers in an .npz"
        )
    return number if named is None else named  # type: ignore[return-value]


def _is_missing(word: str) -> bool:
    return word in MISSING or _number(word) == UNLABELLED


def _number(word: str) -> int | None:
    """The class number that a word is; from a column with gaps, pandas writes 3.0."""
    value = float(word) if is_number(word) else math.nan
    return int(value) if value.is_integer() and abs(value) < MOST_CLASSES else None


def _soft(rows: Rows, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Probabilities [M, K] float32 in the order of the classes, and the names of those."""
    labels, columns, numerals = rows.labels, rows.columns, _numerals(rows.labels.shape[1])
    class_names = class_names or columns or numerals
    if len(class_names) != len(numerals):
        raise UserError(f"{rows.path}: gives {len(numerals)} probabilities for {len(class_names)} classes")
    if columns:
        if set(class_names) == set(numerals) and class_names != numerals:
            raise UserError(f"{rows.path}: are its columns numbers or names of classes? An .npz has no doubt")
        order = class_names if set(columns) == set(class_names) else numerals
        if set(columns) != set(order):
            wrong = next(name for name in columns if name not in class_names)
            raise UserError(f"{rows.path}: the column {wrong!r} is no class")
        labels = labels[:, [columns.index(name) for name in order]]
    sound = (labels >= 0).all(1) & (np.abs(labels.sum(1) - 1) <= 1e-3)
    rows.refuse(
        ~sound & labels.any(1),
        lambda i: f"probabilities must be 0 or more and add up to 1; these add up to {labels[i].sum():.4g}",
    )
    return labels.astype(np.float32), class_names

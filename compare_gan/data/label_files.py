"""Matches label files to data sets. `compare_gan.data.label_rows` defines the formats.

Each row refers to one image by index, by name, or by both, which must then agree. Images without a row are
unlabelled.
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
from compare_gan.core.records import MAX_CLASSES
from compare_gan.data.base import UNLABELLED, Split, hardened
from compare_gan.data.classes import MISSING, with_distinct_names
from compare_gan.data.label_rows import (
    COUNT,
    INDEX,
    LABEL,
    NAME,
    LabelRows,
    file_bytes,
    files_of,
    is_number,
    read_rows,
    rows_of_arrays,
)
from compare_gan.data.layout import is_image
from compare_gan.data.records import Contents, StoredSplit

NOT_FOUND, AMBIGUOUS = -1, -2  # in place of an image index
log = logging.getLogger(__name__)


def label_contents(path: Path, contents: Contents) -> Contents:
    """A source with the labels of a label file, before a test split is held out.

    A named row may refer to an image of either split; a row with an index only refers to the training images.
    Training images without a row become unlabelled. Test images without a row keep their label if its class
    still exists.

    The classes are those of the source. They are those of the file if the source has none, or if the file has
    other classes and the source has a single class (such as one folder of images) or no labelled training
    image.

    Raises:
      UserError: the file cannot be read, is not a label file, labels no training image, or does not match the
        images or the classes.
    """
    contents, rows = with_distinct_names(contents), read_rows(path)
    train, test, old_names = contents.train, contents.test, contents.class_names
    named = _NameIndex.from_splits([train] if test is None else [train, test])
    if rows.index is None or (rows.names and named.names):  # prefer names: an index may count another split
        image = _images_by_name(rows, rows.names or [], named)
    else:
        image = _images_by_index(rows, rows.index, len(train), named.names)
    unlabelled = (hardened(train.labels) == UNLABELLED).all()
    unrelated = (len(old_names) == 1 or bool(old_names) and unlabelled) and not _is_compatible(
        rows, old_names
    )
    labels, class_names = _classes(rows, () if unrelated else old_names)
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all():  # one-hot
        labels = hardened(labels)
    in_train, old_labels = image < len(train), hardened(train.labels)
    train = StoredSplit(train.records, _scatter(image[in_train], labels[in_train], len(train)))
    if test is not None:
        hard = hardened(test.labels).copy()
        if class_names != old_names:
            numbers = [class_names.index(name) if name in class_names else UNLABELLED for name in old_names]
            hard = np.array([*numbers, UNLABELLED], np.int32)[hard]  # -1 selects the last entry
        hard[image[~in_train] - len(train)] = hardened(labels[~in_train])
        test = StoredSplit(test.records, hard)
    count = int((hardened(train.labels) != UNLABELLED).sum())
    if not count:
        tests = f"{(~in_train).sum()} test images but " if (~in_train).any() else ""
        raise UserError(f"{path}: labels {tests}no training image; label at least one training image")
    notes = [f"{path.name} labels {count} of {len(train)} training images"]
    replaced = (old_labels != UNLABELLED) & (hardened(train.labels) == UNLABELLED)
    if replaced.any():
        notes.append(
            f"{replaced.sum()} other images have a label in the data but not in {path.name}; "
            f"they are unlabelled now"
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
    """Reads the labels of a split from a label file.

    Args:
      path: the label file.
      split: the split to label.
      class_names: the allowed classes; empty: use those of the file.
      others: names of images outside the split; rows that name them are skipped.

    Returns:
      Labels [N] int32, -1 = unlabelled; or soft labels [N, K] float32, a row of zeros = unlabelled. And the
      class names: `class_names`, or those of the file, which are numerals if the file has none.

    Raises:
      UserError: the file cannot be read, is not a label file, or does not match the images or the classes.
    """
    rows = read_rows(path)
    for note in rows.notes:
        log.warning("%s: %s", path, note)
    names = _names_if_complete(split.names)
    if rows.index is None:
        all_names = [*names, *_names_if_complete(others)]
        image = _images_by_name(rows, rows.names or [], _NameIndex(all_names, all_names, len(names)))
    else:
        image = _images_by_index(rows, rows.index, len(split), names)
    labels, class_names = _classes(rows, class_names)
    in_split = image < len(split)
    if skipped := int((~in_split).sum()):
        warn_once(f"{path}: skipped {skipped} rows of held-out images")
    return _scatter(image[in_split], labels[in_split], len(split)), class_names


def numbers_training_split(path: Path, size: int) -> bool:
    """Whether the indices of a label file count the training split, as in the files of `write_labels`.

    Indices in other files count the images of the source, before a test split is held out. A file without
    image names that has a row for each index below `size` is assumed to be written by an older version.

    Raises:
      UserError: the file cannot be read, or is not a label file.
    """
    if path.suffix.lower() != ".npz":  # `write_labels` writes only these, and a table may be slow to read
        return False
    rows = read_rows(path)
    if rows.count is not None or rows.index is None:
        return rows.count is not None
    return rows.names is None and np.array_equal(rows.index, np.arange(size))


def write_labels(path: Path, index: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> None:
    """Writes an `.npz` label file. The bytes do not depend on the order of the labels.

    Args:
      path: the file.
      index: [M] indices of the labelled images.
      labels: [M] class indices, or [M, K] probabilities.
      names: [N] names of all images in the data set. The file then stores N, and the names of the labelled
        images if all images are named, so that a reader can check for a mismatch.

    Raises:
      UserError: the arrays do not match this description.
    """
    rows = rows_of_arrays(path, {INDEX: index, LABEL: labels})
    rows.refuse(index < 0, lambda i: f"index {index[i]} is negative")
    _check_unique(rows, index, index)
    labels, _ = _classes(rows, ())
    order = np.argsort(index)
    arrays = {INDEX: index[order].astype(np.int64), LABEL: labels[order]}
    if len(names):
        arrays[COUNT] = np.array(len(names), np.int64)
    if named := _names_if_complete(names):
        arrays[NAME] = np.array([named[i] for i in arrays[INDEX]], np.str_)
    with atomic(path) as file:  # NumPy dates every member 1980-01-01, so the bytes are reproducible
        np.savez(file, **arrays)  # type: ignore[arg-type]


def digest(path: Path) -> str:
    """SHA-256 of a label file, or of the concatenated files that match a pattern.

    Raises:
      UserError: a file cannot be read.
    """
    total = hashlib.sha256()
    for file in files_of(path):
        total.update(file_bytes(file))
    return total.hexdigest()


class _NameIndex:
    """Looks up images by name: the exact name, a suffix of the image path, or a path that ends in the name.

    If training and test images share a name, the training image is returned.
    """

    def __init__(self, names: Sequence[str], paths: Sequence[str], train: int):
        """Names and full paths of all images, of which the first `train` are training images."""
        self.names, self.paths, self.train = names, paths, train
        self.exact = self._index_by(names)
        self.endings = dict[tuple[int, bool], dict[str, int]]()

    @classmethod
    def from_splits(cls, parts: Sequence[StoredSplit]) -> "_NameIndex":
        """The index of several splits, training images first; empty if any image is unnamed."""
        records = [(part.records, i) for part in parts for i in range(len(part))]
        names = _names_if_complete([found.name(i) for found, i in records])
        where = [found.where(i) for found, i in records[: len(names)]]
        paths = [path if path.endswith(name) else name for path, name in zip(where, names, strict=True)]
        return cls(names, paths, len(parts[0]))

    def find(self, query: str) -> int:
        """The index of the image that matches, or `NOT_FOUND` or `AMBIGUOUS`."""
        if query in self.exact:
            return self.exact[query]
        folders, suffix = _folders(query, True), is_image(query)
        for length in range(len(folders), 0, -1):  # prefer the longest common suffix
            i = self._ending(length, suffix).get("/".join(folders[-length:]), NOT_FOUND)
            if i != NOT_FOUND and length == len(folders):
                return i
            if i >= 0 and length >= len(_folders(self.names[i], suffix)):
                return i
        return NOT_FOUND

    def _ending(self, length: int, suffix: bool) -> dict[str, int]:
        """Image indices by the last `length` components of their paths, with or without file extension."""
        if (length, suffix) not in self.endings:
            ends = ("/".join(_folders(path, suffix)[-length:]) for path in self.paths)
            self.endings[length, suffix] = self._index_by(ends)
        return self.endings[length, suffix]

    def _index_by(self, names: Iterable[str]) -> dict[str, int]:
        places = dict[str, int]()
        for i, name in enumerate(names):
            if name not in places:
                places[name] = i
            elif i < self.train or places[name] >= self.train:
                places[name] = AMBIGUOUS
        return places


def _folders(path: str, suffix: bool) -> list[str]:
    """The components of a path, which may contain backslashes and decomposed Unicode characters."""
    path = unicodedata.normalize("NFC", path).replace("\\", "/")
    path = path if suffix else posixpath.splitext(path)[0]
    return [folder for folder in path.split("/") if folder not in ("", ".")]


def _images_by_index(rows: LabelRows, index: np.ndarray, count: int, names: Sequence[str]) -> np.ndarray:
    """The image index of each row, [M]."""
    if rows.count not in (None, count):
        raise UserError(
            f"{rows.path}: is for {rows.count} images, but there are {count}; was it written for other data?"
        )
    rows.refuse(
        (index < 0) | (index >= count),
        lambda i: f"index {index[i]} is out of range for {count} images; was it written for other data?",
    )
    _check_unique(rows, index, index)
    if names and rows.names:
        pairs = zip((names[k] for k in index), rows.names, strict=True)
        rows.refuse(
            np.array([row_name not in (name, _base(name)) for name, row_name in pairs]),
            lambda i: (
                f"names image {index[i]} {rows.names[i]!r}, but its name here is {names[index[i]]!r}; "  # type: ignore[index]
                f"was it written for other data?"
            ),
        )
    return index


def _images_by_name(rows: LabelRows, row_names: Sequence[str], images: _NameIndex) -> np.ndarray:
    """The image index of each row, [M]."""
    if not images.names:
        raise UserError(
            f"{rows.path}: the images of this data set have no names; use {INDEX} instead of {NAME}"
        )
    image = np.array([images.find(name) for name in row_names], np.int64)
    rows.refuse(
        image == NOT_FOUND,
        lambda i: f"no image is called {row_names[i]!r}; an example of a name is {images.names[0]!r}",
    )
    rows.refuse(
        image == AMBIGUOUS, lambda i: f"several images match {row_names[i]!r}; use full names or {INDEX}"
    )
    _check_unique(rows, image, row_names)
    return image


def _check_unique(rows: LabelRows, image: np.ndarray, shown_as: Sequence[object] | np.ndarray) -> None:
    repeated = np.ones(len(image), bool)
    repeated[np.unique(image, return_index=True)[1]] = False
    rows.refuse(repeated, lambda i: f"image {shown_as[i]} is already labelled; label each image once")


def _names_if_complete(names: Sequence[str]) -> list[str]:
    """The names; an empty list if any is missing."""
    return found if all(found := list(names)) else []


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _scatter(image: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Scatters labels of the given images into an array for all images, [count] or [count, K]."""
    if labels.ndim == 1:
        scattered = np.full(count, UNLABELLED, np.int32)
    else:
        scattered = np.zeros((count, labels.shape[1]), np.float32)
    scattered[image] = labels
    return scattered


def _is_compatible(rows: LabelRows, class_names: tuple[str, ...]) -> bool:
    try:
        _classes(rows, class_names)
    except UserError:
        return False
    return True


def _classes(rows: LabelRows, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class indices [M] int32 or probabilities [M, K] float32, and the class names."""
    if rows.labels.ndim == 2:
        return _soft(rows, class_names)
    labels = rows.labels
    if labels.dtype.kind == "U":
        labels, class_names = _numbered(rows, class_names)
    count = len(class_names) or MAX_CLASSES
    rows.refuse(
        (labels < UNLABELLED) | (labels >= count),
        lambda i: f"label {labels[i]} is not one of the classes 0 to {count - 1}, nor -1: unlabelled",
    )
    return labels.astype(np.int32), class_names or _numerals(labels.max(initial=UNLABELLED) + 1)


def _numerals(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _numbered(rows: LabelRows, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """String labels as class indices [M], and the class names, if the labels or the caller provide them."""
    words, first, inverse = np.unique(rows.labels, return_index=True, return_inverse=True)
    places = dict(zip(map(str, words), first, strict=True))
    labelled = [word for word in places if word in class_names or not _is_missing(word)]
    if not class_names and any(_number(word) is None for word in labelled):
        _check_words(rows, labelled, places)
        class_names, numbers = tuple(labelled), {word: k for k, word in enumerate(labelled)}
    else:
        numbers = {word: _class_number(rows, word, class_names, places[word]) for word in labelled}
    return np.array([numbers.get(str(word), UNLABELLED) for word in words], np.int64)[inverse], class_names


def _check_words(rows: LabelRows, words: Sequence[str], places: dict[str, int]) -> None:
    """Raises UserError if all labels are numbers and some are not integers."""
    if all(map(is_number, words)):
        word = next(word for word in words if _number(word) is None)
        raise UserError(f"{rows.where(places[word])}: label {word!r} is neither an integer nor a class name")


def _class_number(rows: LabelRows, word: str, class_names: tuple[str, ...], place: int) -> int:
    number = _number(word)
    named = class_names.index(word) if word in class_names else None
    if number is None and named is None:
        candidates = [name for name in class_names if name.startswith(f"{word} (")]
        if candidates:
            raise UserError(
                f"{rows.where(place)}: several classes are called {word!r}; "
                f"use one of {', '.join(map(repr, candidates))}, or the class index"
            )
        some = f"{class_names[0]!r} to {class_names[-1]!r}"
        raise UserError(f"{rows.where(place)}: label {word!r} is neither a class index nor one of {some}")
    if number is not None and named is not None and number != named and number < len(class_names):
        raise UserError(
            f"{rows.where(place)}: label {word!r} is both the name of class {named} and a class index; "
            f"write class indices to an .npz"
        )
    return number if named is None else named  # type: ignore[return-value]


def _is_missing(word: str) -> bool:
    return word in MISSING or _number(word) == UNLABELLED


def _number(word: str) -> int | None:
    """The class index that a string denotes, if any; pandas writes 3.0 for a column with missing values."""
    value = float(word) if is_number(word) else math.nan
    return int(value) if value.is_integer() and abs(value) < MAX_CLASSES else None


def _soft(rows: LabelRows, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Probabilities [M, K] float32 in the order of the classes, and the class names."""
    labels, columns, numerals = rows.labels, rows.columns, _numerals(rows.labels.shape[1])
    class_names = class_names or columns or numerals
    if len(class_names) != len(numerals):
        raise UserError(f"{rows.path}: has {len(numerals)} probabilities for {len(class_names)} classes")
    if columns:
        if set(class_names) == set(numerals) and class_names != numerals:
            raise UserError(
                f"{rows.path}: its columns may be class indices or names; use an .npz, which is unambiguous"
            )
        order = class_names if set(columns) == set(class_names) else numerals
        if set(columns) != set(order):
            wrong = next(name for name in columns if name not in class_names)
            raise UserError(f"{rows.path}: the column {wrong!r} is not a class")
        labels = labels[:, [columns.index(name) for name in order]]
    valid = (labels >= 0).all(1) & (np.abs(labels.sum(1) - 1) <= 1e-3)
    rows.refuse(
        ~valid & labels.any(1),
        lambda i: f"probabilities must be nonnegative and sum to 1; these sum to {labels[i].sum():.4g}",
    )
    return labels.astype(np.float32), class_names

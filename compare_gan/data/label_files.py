"""Label files held against a data set; what they look like stands in `compare_gan.data.label_rows`.

Each row is about one training image. It says which by its number, by its name (`Split.names`, or that
without the folders where it is one image's), or by both, and then they must agree. Images that no row is
about are unlabelled.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.data.base import UNLABELLED, Split
from compare_gan.data.label_rows import (
    INDEX,
    LABEL,
    NAME,
    Rows,
    contents,
    files_of,
    read_rows,
    rows_of_arrays,
)
from compare_gan.data.splits import MOST_CLASSES

NOWHERE, SEVERAL = -1, -2  # in place of the number of an image


def read_labels(
    path: Path, split: Split, class_names: tuple[str, ...] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels that a label file gives to the images of a split.

    Args:
      path: the label file.
      split: whose images it is about.
      class_names: the classes that it may speak of; empty: those that it speaks of.

    Returns:
      [N] int32, -1 where there is none; or of soft labels [N, K] float32, zero where there is none. And the
      names of the classes: those given, or the file's own, which are numbers if it names none.

    Raises:
      UserError: it cannot be read, is not a label file, or does not fit the images or the classes.
    """
    rows = read_rows(path)
    image = _by_name(rows, rows.names, split) if rows.index is None else _by_index(rows, rows.index, split)
    labels, class_names = _classes(rows, class_names)
    if labels.ndim == 1:
        whole = np.full(len(split), UNLABELLED, np.int32)
    else:
        whole = np.zeros((len(split), labels.shape[1]), np.float32)
    whole[image] = labels
    return whole, class_names


def write_labels(path: Path, index: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> None:
    """Writes an `.npz` label file; the same labels, in any order, make the same bytes.

    Args:
      path: the file.
      index: [M] which images have a label.
      labels: [M] class numbers, or [M, K] probabilities.
      names: [N] what the data set calls its images, all of them. If each has a name, the file holds those
        of its rows, too, so that a reader can tell whether its images are the same.

    Raises:
      UserError: the arrays are not what a label file holds.
    """
    rows = rows_of_arrays(path, {INDEX: index, LABEL: labels})
    rows.refuse(index < 0, lambda i: f"index {index[i]} is negative")
    _check_once(rows, index)
    labels, _ = _classes(rows, ())
    order = np.argsort(index)
    arrays = {INDEX: index[order].astype(np.int64), LABEL: labels[order]}
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
        found.update(contents(file))
    return found.hexdigest()


def _by_index(rows: Rows, index: np.ndarray, split: Split) -> np.ndarray:
    """The number of the image that each row is about, [M]."""
    rows.refuse(
        (index < 0) | (index >= len(split)),
        lambda i: f"index {index[i]} is out of range for {len(split)} images; made from other data?",
    )
    _check_once(rows, index)
    names = _all_named(split.names) if rows.names else []
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


def _by_name(rows: Rows, given: Sequence[str] | None, split: Split) -> np.ndarray:
    """The number of the image that each row is about, [M]."""
    assert given is not None
    names = _all_named(split.names)
    if not names:
        raise UserError(f"{rows.path}: the images of this data set have no names; give {INDEX}, not {NAME}")
    whole, base = _places(names), _places([_base(name) for name in names])
    image = np.array([whole.get(name, base.get(name, NOWHERE)) for name in given], np.int64)
    rows.refuse(image == NOWHERE, lambda i: f"no image is called {given[i]!r}; names are like {names[0]!r}")
    rows.refuse(
        image == SEVERAL, lambda i: f"several images are called {given[i]!r}; give whole names, or {INDEX}"
    )
    _check_once(rows, image)
    return image


def _check_once(rows: Rows, image: np.ndarray) -> None:
    again = np.ones(len(image), bool)
    again[np.unique(image, return_index=True)[1]] = False
    rows.refuse(again, lambda i: f"image {image[i]} has a label already; label each image once")


def _all_named(names: Sequence[str]) -> list[str]:
    """The names, or none if one is missing."""
    return found if all(found := list(names)) else []


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _places(names: Sequence[str]) -> dict[str, int]:
    places = dict[str, int]()
    for i, name in enumerate(names):
        places[name] = SEVERAL if name in places else i
    return places


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
    if not class_names and any(_number(word) is None for word in words):
        class_names = tuple(str(word) for word in words if _number(word) != UNLABELLED)
    names = {name: k for k, name in enumerate(class_names)}
    found = []
    for word, i in zip(map(str, words), first, strict=True):
        number, named = _number(word), names.get(word)
        if number is None and named is None:
            some = f"{class_names[0]!r} to {class_names[-1]!r}"
            raise UserError(
                f"{rows.where(i)}: label {word!r} is neither the number of a class nor one of {some}"
            )
        if number is not None and named is not None and number != named and number < len(names):
            raise UserError(
                f"{rows.where(i)}: label {word!r} is the name of class {named}, but a number, too; "
                f"give all numbers in an .npz"
            )
        found.append(number if named is None else named)
    return np.array(found, np.int64)[back], class_names


def _number(word: str) -> int | None:
    """The class number that a word is; from a column with gaps, pandas writes 3.0."""
    try:
        value = float(word or UNLABELLED)
    except ValueError:
        return None
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

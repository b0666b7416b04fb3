"""Converts stored labels to class indices; the classes are those of the labelled training images."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.records import MAX_CLASSES
from compare_gan.core.words import first_few
from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, StoredSplit

MIN_SUSPECT_IMAGES = 20  # a smaller data set may have a class per image without a note
# Strings that mean "no label" unless a class has that name: those that pandas reads as missing.
MISSING = ("", "nan", "NaN", "-nan", "-NaN", "None", "null", "NULL", "NA", "N/A", "n/a", "#N/A", "<NA>")


def stored_labels(path: object, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """One label for each of `count` images, as a file stores them.

    Args:
      path: the file, for error messages.
      name: the name of the labels in the file.
      labels: [count] or [count, 1] integers, integer-valued floats, booleans or strings; or one-hot
        [count, K].

    Returns:
      [count] int32 class indices, -1 where `labels` is -1, NaN or a row of zeros; or [count] strings,
      empty where they are in `MISSING`. Booleans become the strings False and True.

    Raises:
      UserError: `labels` does not match this description.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or labels.dtype.kind not in ("iufbSU" if labels.ndim == 1 else "iufb"):
        raise UserError(
            f"{path}: {name} is {labels.dtype} {list(labels.shape)}; expected class indices or strings [N], "
            f"or one-hot [N, K]"
        )
    if len(labels) != count:
        raise UserError(f"{path}: {name} has {len(labels)} entries for {count} images")
    if labels.ndim == 2:
        hot = labels == 1
        if ((labels != 0) & ~hot).any() or (hot.sum(1) > 1).any():
            raise UserError(
                f"{path}: {name} is {list(labels.shape)} but not one-hot; an image must have one class"
            )
        return np.where(hot.any(1), hot.argmax(1), UNLABELLED).astype(np.int32)
    if labels.dtype.kind == "S":
        labels = np.strings.decode(labels, "utf-8", "replace")
    if labels.dtype.kind in "Ub":
        words = np.strings.strip(labels.astype(np.str_))
        return np.where(np.isin(words, MISSING), "", words)
    if labels.dtype.kind == "f":
        labels = np.where(np.isnan(labels), UNLABELLED, labels)
        if (fractional := labels[labels != np.rint(labels)]).size:
            raise UserError(f"{path}: {name} contains {fractional[0]:.9g}; class indices are integers")
    if count and not UNLABELLED <= labels.min() <= labels.max() < MAX_CLASSES:
        wrong = labels.min() if labels.min() < UNLABELLED else labels.max()
        raise UserError(
            f"{path}: {name} contains {int(wrong)}; class indices are 0 to {MAX_CLASSES - 1}, "
            f"or -1 for unlabelled"
        )
    return labels.astype(np.int32)


def numbered(
    path: object, stored: Sequence[np.ndarray], names: tuple[str, ...] = ()
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels of several splits or files as class indices [N] int32, and the class names.

    Args:
      path: the source, for error messages.
      stored: results of `stored_labels`.
      names: class names, if the source has them. Otherwise string labels are the names, sorted, numerals by
        value; and integer labels are named "0" up to the largest.

    Raises:
      UserError: strings are mixed with integers, or there are more classes than names.
    """
    words = [labels.dtype.kind == "U" for labels in stored]
    if any(words):
        if not all(words) and any(
            (labels != UNLABELLED).any() for labels in stored if labels.dtype.kind != "U"
        ):
            raise UserError(f"{path}: its labels mix strings and numbers")
        found = sorted(
            {str(word) for labels in stored if labels.dtype.kind == "U" for word in np.unique(labels)}
        )
        found = [word for word in found if word]
        if all(word.isdecimal() for word in found):
            found.sort(key=int)
        names = names if set(found) <= set(names) else tuple(found)
        numbers = {"": UNLABELLED} | {name: k for k, name in reversed(list(enumerate(names)))}
        stored = [
            np.array([numbers[str(word)] for word in labels], np.int32)
            if labels.dtype.kind == "U"
            else labels
            for labels in stored
        ]
    largest = max((int(labels.max(initial=UNLABELLED)) for labels in stored), default=UNLABELLED)
    if names and len(names) <= largest:
        raise UserError(f"{path}: contains the label {largest}, but has only {len(names)} class names")
    return list(stored), names or tuple(map(str, range(largest + 1)))


def with_used_classes(contents: Contents) -> Contents:
    """The source without the classes that have no labelled training image.

    The remaining classes are renumbered and keep their order. Test labels of dropped classes become -1. Class
    names are stripped and made unique. Notes report the changes. Soft labels keep all classes.
    """
    contents = with_distinct_names(contents)
    train, test, names = contents.train, contents.test, contents.class_names
    if train.labels.ndim == 2:
        return contents
    used = np.unique(train.labels[train.labels != UNLABELLED])
    if 2 * len(used) > len(train) > MIN_SUSPECT_IMAGES and (train.labels != UNLABELLED).all():
        note = f"has {len(used)} classes for {len(train)} images; are its labels really class names?"
        contents = dataclasses.replace(contents, notes=(*contents.notes, note))
    dropped = len(names) - len(used)
    if not dropped:
        return contents
    new = np.full(len(names) + 1, UNLABELLED, np.int32)  # by old index; the last entry is used for -1
    new[used] = np.arange(len(used))
    kept = tuple(names[k] for k in used)
    notes = [
        f"left out {dropped} of {len(names)} classes, which have no labelled training image; "
        f"the classes are {first_few(kept)}"
        if kept
        else f"no training image has a label, so the data set has no classes ({len(names)} left out)"
    ]
    if test is not None and test.labels.ndim == 1:
        lost = int((new[test.labels] == UNLABELLED).sum() - (test.labels == UNLABELLED).sum())
        if lost:
            notes.append(f"ignores the labels of test images in the classes left out ({lost})")
        test = StoredSplit(test.records, new[test.labels])
    return dataclasses.replace(
        contents,
        train=StoredSplit(train.records, new[train.labels]),
        test=test,
        class_names=kept,
        notes=(*contents.notes, *notes),
    )


def with_distinct_names(contents: Contents) -> Contents:
    """The source with stripped, unique class names, since label files and reports identify classes by name.

    Classes that share a name get their index appended, as in "crane (134)". A note lists them.
    """
    names, shared = [name.strip() for name in contents.class_names], set[str]()
    while repeated := {name for name, count in collections.Counter(names).items() if count > 1}:
        names = [f"{name} ({k})" if name in repeated else name for k, name in enumerate(names)]
        shared |= repeated
    notes = contents.notes
    if shared:
        notes += (f"several classes are called {first_few(sorted(shared))}; their index was appended",)
    return dataclasses.replace(contents, class_names=tuple(names), notes=notes)

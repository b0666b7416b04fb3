"""From labels as files store them to the classes of a source: those of its labelled training images."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.words import first_few
from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, Part
from compare_gan.data.splits import MOST_CLASSES

FEW = 20  # images that may each have a class of their own
# Words that mean "no label" unless a class is called so: those that pandas reads as missing.
MISSING = ("", "nan", "NaN", "-nan", "-NaN", "None", "null", "NULL", "NA", "N/A", "n/a", "#N/A", "<NA>")


def stored_labels(path: object, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """One label for each of `count` images, as a file stores them.

    Args:
      path: the file, for errors.
      name: what the file calls the labels.
      labels: [count] or [count, 1] integers, whole floats, booleans or words; or [count, K] one-hot.

    Returns:
      [count] int32 class numbers, -1 where `labels` is -1 or NaN or no class is hot; or [count] words,
      empty where they are one of `MISSING`. Booleans are the words False and True.

    Raises:
      UserError: they are not.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or labels.dtype.kind not in ("iufbSU" if labels.ndim == 1 else "iufb"):
        raise UserError(
            f"{path}: {name} is {labels.dtype} {list(labels.shape)}; wanted [N] class numbers or words, "
            f"or one-hot [N, K]"
        )
    if len(labels) != count:
        raise UserError(f"{path}: {name} has {len(labels)} entries for {count} images")
    if labels.ndim == 2:
        hot = labels == 1
        if ((labels != 0) & ~hot).any() or (hot.sum(1) > 1).any():
            raise UserError(f"{path}: {name} is {list(labels.shape)} but not one-hot; an image has one class")
        return np.where(hot.any(1), hot.argmax(1), UNLABELLED).astype(np.int32)
    if labels.dtype.kind == "S":
        labels = np.strings.decode(labels, "utf-8", "replace")
    if labels.dtype.kind in "Ub":
        words = np.strings.strip(labels.astype(np.str_))
        return np.where(np.isin(words, MISSING), "", words)
    if labels.dtype.kind == "f":
        labels = np.where(np.isnan(labels), UNLABELLED, labels)
        if (broken := labels[labels != np.rint(labels)]).size:
            raise UserError(f"{path}: {name} holds {broken[0]:.9g}; class numbers are whole")
    if count and not UNLABELLED <= labels.min() <= labels.max() < MOST_CLASSES:
        wrong = labels.min() if labels.min() < UNLABELLED else labels.max()
        raise UserError(
            f"{path}: {name} holds {int(wrong)}; class numbers are 0 to {MOST_CLASSES - 1}, or -1: unlabelled"
        )
    return labels.astype(np.int32)


def numbered(
    path: object, stored: Sequence[np.ndarray], names: tuple[str, ...] = ()
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels of several splits or files as class numbers [N] int32, and the names of the classes.

    Args:
      path: what holds them, for errors.
      stored: what `stored_labels` gave.
      names: of the classes, if the source has them. Else words are the names, sorted, those of digits by
        value; and numbers are called "0" to the largest.

    Raises:
      UserError: some are words and some numbers, or there are more classes than names.
    """
    words = [labels.dtype.kind == "U" for labels in stored]
    if any(words):
        if not all(words) and any(
            (labels != UNLABELLED).any() for labels in stored if labels.dtype.kind != "U"
        ):
            raise UserError(f"{path}: some of its labels are words, and some are numbers")
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
        raise UserError(f"{path}: holds the label {largest}, but names only {len(names)} classes")
    return list(stored), names or tuple(map(str, range(largest + 1)))


def with_used_classes(contents: Contents) -> Contents:
    """The source without the classes of which no training image has a label.

    The remaining classes are renumbered in their order. Test labels of dropped classes become -1. Class names
    are stripped and made distinct. Notes say what changed. Soft labels keep all classes.
    """
    contents = with_distinct_names(contents)
    train, test, names = contents.train, contents.test, contents.class_names
    if train.labels.ndim == 2:
        return contents
    used = np.unique(train.labels[train.labels != UNLABELLED])
    if 2 * len(used) > len(train) > FEW and (train.labels != UNLABELLED).all():
        note = f"has {len(used)} classes for {len(train)} images; are its labels the names of classes?"
        contents = dataclasses.replace(contents, notes=(*contents.notes, note))
    dropped = len(names) - len(used)
    if not dropped:
        return contents
    new = np.full(len(names) + 1, UNLABELLED, np.int32)  # by old number; the last entry is read at -1
    new[used] = np.arange(len(used))
    kept = tuple(names[k] for k in used)
    notes = [
        f"left out {dropped} of {len(names)} classes, without a labelled training image; "
        f"the classes are {first_few(kept)}"
        if kept
        else f"no training image has a label, so the data set has no classes ({len(names)} are left out)"
    ]
    if test is not None and test.labels.ndim == 1:
        lost = int((new[test.labels] == UNLABELLED).sum() - (test.labels == UNLABELLED).sum())
        if lost:
            notes.append(f"ignores the labels of test images in the classes left out ({lost})")
        test = Part(test.records, new[test.labels])
    return dataclasses.replace(
        contents,
        train=Part(train.records, new[train.labels]),
        test=test,
        class_names=kept,
        notes=(*contents.notes, *notes),
    )


def with_distinct_names(contents: Contents) -> Contents:
    """The source with class names that are stripped and distinct, for label files and reports use the names.

    Classes that share a name get their number added, as "crane (134)". A note says which.
    """
    names, shared = [name.strip() for name in contents.class_names], set[str]()
    while repeated := {name for name, count in collections.Counter(names).items() if count > 1}:
        names = [f"{name} ({k})" if name in repeated else name for k, name in enumerate(names)]
        shared |= repeated
    notes = contents.notes
    if shared:
        notes += (f"several classes are called {first_few(sorted(shared))}; each got its number added",)
    return dataclasses.replace(contents, class_names=tuple(names), notes=notes)

"""Which classes a source has: those of its labelled training images, under distinct names."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, Part

SHOWN = 10  # class names that a note lists


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
    dropped = len(names) - len(used)
    if not dropped:
        return contents
    new = np.full(len(names) + 1, UNLABELLED, np.int32)  # by old number; the last entry is read at -1
    new[used] = np.arange(len(used))
    kept = tuple(names[k] for k in used)
    notes = [
        f"{dropped} of {len(names)} classes have no labelled training image and are left out; "
        f"the classes are {listed(kept)}"
        if kept
        else f"no training image has a label, so the data set has no classes ({len(names)} are left out)"
    ]
    if test is not None and test.labels.ndim == 1:
        lost = int((new[test.labels] == UNLABELLED).sum() - (test.labels == UNLABELLED).sum())
        if lost:
            notes.append(f"{lost} test images of the classes left out count as unlabelled")
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
        notes += (f"several classes are called {listed(sorted(shared))}; each got its number added",)
    return dataclasses.replace(contents, class_names=tuple(names), notes=notes)


def listed(words: Sequence[str]) -> str:
    """Words for a message: all of them, or the first few and how many more."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more

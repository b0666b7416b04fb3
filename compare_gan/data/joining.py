"""Joins several sources into one data set, or takes the test split from another source."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, StoredSplit, joined


def join_sources(sources: Sequence[Contents]) -> Contents:
    """Concatenates several sources. Classes with the same name are merged.

    The test splits are concatenated as well; if no source has one, neither does the result.

    Raises:
      UserError: there are several sources and one has soft labels.
    """
    if len(sources) == 1:
        return sources[0]
    names = tuple(dict.fromkeys(name for contents in sources for name in contents.class_names))
    tests = [_renumbered(c, c.test, names) for c in sources if c.test is not None]
    notes = [f"{c.name}: {note}" for c in sources for note in c.notes]
    for contents in sources:
        unlabelled = int((contents.train.labels == UNLABELLED).sum())
        labelled = f"{unlabelled:,} without a label" if unlabelled else "all with a label"
        notes.append(f"{len(contents.train):,} training images are from {contents.path}, {labelled}")
    return Contents(
        " + ".join(contents.path for contents in sources),
        "+".join(contents.name for contents in sources),
        joined([_renumbered(contents, contents.train, names) for contents in sources]),
        joined(tests) if tests else None,
        names,
        tuple(notes),
        all(contents.mirror for contents in sources),
    )


def with_test_data(contents: Contents, other: Contents) -> Contents:
    """The source with all images of another as its test split.

    Raises:
      UserError: labels are soft, or the test split has a class that the training images lack.
    """
    names = tuple(dict.fromkeys((*contents.class_names, *other.class_names)))
    if contents.class_names and (unknown := set(other.class_names) - set(contents.class_names)):
        raise UserError(
            f"{other.path}: has the class {sorted(unknown)[0]!r}, which {contents.path} lacks; "
            f"its classes are {', '.join(contents.class_names[:10])}"
        )
    parts = [other.train] if other.test is None else [other.train, other.test]
    test = joined([_renumbered(other, part, names) for part in parts])
    note = f"{len(test):,} images of {other.path} are the test split"
    if contents.test is not None:
        note += f"; {len(contents.test):,} test images of {contents.path} are left out"
    return dataclasses.replace(
        contents, test=test, class_names=names, notes=(*contents.notes, *other.notes, note)
    )


def _renumbered(contents: Contents, part: StoredSplit, names: tuple[str, ...]) -> StoredSplit:
    """A split of a source with its labels as indices into `names`."""
    if part.labels.ndim != 1:
        raise UserError(f"{contents.path}: has soft labels, which cannot be joined with another source")
    numbers = np.array([*map(names.index, contents.class_names), UNLABELLED], np.int32)
    return StoredSplit(part.records, numbers[part.labels])  # -1 selects the last entry

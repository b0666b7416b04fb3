"""Several sources as one data set, and test images from a source of their own."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED
from compare_gan.data.records import Contents, Part, joined


def together(several: Sequence[Contents]) -> Contents:
    """The images of several sources, in their order. Classes of one name are one class.

    Sources with a test split give it to the whole; where none has one, the whole has none.

    Raises:
      UserError: one of several sources has soft labels.
    """
    if len(several) == 1:
        return several[0]
    names = tuple(dict.fromkeys(name for contents in several for name in contents.class_names))
    tests = [_renumbered(c, c.test, names) for c in several if c.test is not None]
    notes = [f"{c.name}: {note}" for c in several for note in c.notes]
    for contents in several:
        unlabelled = int((contents.train.labels == UNLABELLED).sum())
        labelled = f"{unlabelled:,} without a label" if unlabelled else "all with a label"
        notes.append(f"{len(contents.train):,} training images come from {contents.path}, {labelled}")
    return Contents(
        " + ".join(contents.path for contents in several),
        "+".join(contents.name for contents in several),
        joined([_renumbered(contents, contents.train, names) for contents in several]),
        joined(tests) if tests else None,
        names,
        tuple(notes),
    )


def with_test_data(contents: Contents, other: Contents) -> Contents:
    """The source with all images of another as its test split.

    Raises:
      UserError: labels are soft, or the test classes are not those of the training images.
    """
    names = tuple(dict.fromkeys((*contents.class_names, *other.class_names)))
    if contents.class_names and (unknown := set(other.class_names) - set(contents.class_names)):
        raise UserError(
            f"{other.path}: has the class {sorted(unknown)[0]!r}, which {contents.path} has not; "
            f"it has {', '.join(contents.class_names[:10])}"
        )
    parts = [other.train] if other.test is None else [other.train, other.test]
    test = joined([_renumbered(other, part, names) for part in parts])
    note = f"{len(test):,} images of {other.path} are the test split"
    if contents.test is not None:
        note += f"; {len(contents.test):,} test images of {contents.path} are left out"
    return dataclasses.replace(
        contents, test=test, class_names=names, notes=(*contents.notes, *other.notes, note)
    )


def _renumbered(contents: Contents, part: Part, names: tuple[str, ...]) -> Part:
    """A part of a source with its labels as indices into `names`."""
    if part.labels.ndim != 1:
        raise UserError(f"{contents.path}: has soft labels, which do not join with another source")
    numbers = np.array([*map(names.index, contents.class_names), UNLABELLED], np.int32)
    return Part(part.records, numbers[part.labels])  # -1 is the last entry

"""Which images are held out for scores, and what a label file says of both splits."""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED, hardened
from compare_gan.data.label_files import label_contents, numbers_training_split
from compare_gan.data.records import Contents, Part
from compare_gan.data.splits import HELD_OUT, held_out_mask

SPARE = 50  # labels: a class with fewer of them gives none to the test split where labels are missing


def with_splits(contents: Contents, labels: str | None = None, holdout: float | None = None) -> Contents:
    """A source with a training and a test split, under the labels of a file if one is given.

    A source that has no test split gets one: `holdout` of each class, and of the unlabelled images, at even
    distances. The source's own labels decide that, so every run, seed and label file gets the same split, but
    for one thing. Where labels are missing they are precious: labelled images of a class with fewer than
    `SPARE` labels stay in the training split.

    Rows of a label file may name images of either split. Held-out images that no row names keep the label
    that the source gives them, if it gives any.

    Args:
      contents: what a reader found.
      labels: label file, see `compare_gan.data.label_files`.
      holdout: share of the images, in [0, 1); None: a fifth. With 0 the training images are the test images.

    Returns:
      Both splits, and a note of what was decided here.

    Raises:
      UserError: the label file does not fit the source.
    """
    if not len(contents.train) or contents.test is not None and not len(contents.test):
        raise UserError(f"{contents.path}: holds no images")
    if contents.test is not None:
        if holdout is not None:
            note = "has a test split, so --holdout changes nothing"
            contents = dataclasses.replace(contents, notes=(*contents.notes, note))
        return contents if labels is None else label_contents(Path(labels), contents)
    own = contents.train.labels
    out = held_out_mask(own, HELD_OUT if holdout is None else holdout)
    if labels is None:
        return _divided(contents, out, holdout)
    if numbers_training_split(Path(labels), int((~out).sum())):
        return label_contents(Path(labels), _divided(contents, out, holdout))
    whole = label_contents(Path(labels), contents)
    return _divided(whole, out, holdout, own, whole.class_names == contents.class_names)


def _divided(
    contents: Contents,
    out: np.ndarray,
    holdout: float | None,
    own: np.ndarray | None = None,
    comparable: bool = False,
) -> Contents:
    """The source split by a mask [N] of the images to hold out.

    Args:
      own: its labels before those of a file.
      comparable: whether these are of the same classes; then held-out images without another label keep them.
    """
    whole = contents.train
    own = whole.labels if own is None else own
    missing = (hardened(own) == UNLABELLED).any()
    precious = _precious(hardened(whole.labels)) if missing else np.zeros_like(out)
    spared = out & ~precious
    if 2 * spared.sum() >= out.sum():  # else there would be little to test on
        out = spared
    if not out.any():
        why = "no images are held out" if holdout == 0 else "there are too few images to hold any out"
        note = f"{why}, so scores compare with the training images; --test_data names other images"
        return dataclasses.replace(contents, test=whole, notes=(*contents.notes, note))
    train, test = whole.chosen(np.flatnonzero(~out)), whole.chosen(np.flatnonzero(out))
    if comparable and own.ndim == test.labels.ndim == 1:
        test = Part(test.records, np.where(test.labels == UNLABELLED, own[out], test.labels))
    notes = contents.notes
    if holdout is None:
        kept = ", none of them labelled, for labels are few" if out is spared and precious.any() else ""
        notes = (
            *notes,
            f"{len(test):,} of {len(whole):,} images are held out for scores{kept}; --holdout 0 holds out "
            "none, --test_data names other images",
        )
    return dataclasses.replace(contents, train=train, test=test, notes=notes)


def _precious(labels: np.ndarray) -> np.ndarray:
    """Which images [N] have a label that training cannot spare."""
    classes, back, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return ((classes != UNLABELLED) & (counts < SPARE))[back]

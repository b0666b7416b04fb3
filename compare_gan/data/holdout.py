"""The held-out test split, and the labels of a label file for both splits."""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED, hardened
from compare_gan.data.label_files import label_contents, numbers_training_split
from compare_gan.data.records import Contents, StoredSplit
from compare_gan.data.splits import HELD_OUT, held_out_mask

MIN_LABELS_TO_HOLD_OUT = 50  # in a partly labelled source, smaller classes keep all labels for training


def with_splits(contents: Contents, labels: str | None = None, holdout: float | None = None) -> Contents:
    """A source with a training and a test split, and the labels of a label file if one is given.

    If the source has no test split, the fraction `holdout` of each class, and of the unlabelled images, is
    held out at even distances. The split depends on the source's own labels only, so it is the same for every
    run, seed and label file, with one exception: in a partly labelled source, the labelled images of a class
    with fewer than `MIN_LABELS_TO_HOLD_OUT` labels stay in the training split.

    Rows of a label file may refer to images of either split. Held-out images without a row keep the label of
    the source, if any.

    Args:
      contents: the source.
      labels: label file, see `compare_gan.data.label_files`.
      holdout: fraction of the images, in [0, 1); None: a fifth. With 0, the training images are also the
        test images.

    Returns:
      The source with both splits and a note on the split.

    Raises:
      UserError: the source is empty, or the label file does not match it.
    """
    if not len(contents.train) or contents.test is not None and not len(contents.test):
        raise UserError(f"{contents.path}: contains no images")
    if contents.test is not None:
        if holdout is not None:
            note = "has a test split, so --holdout has no effect"
            contents = dataclasses.replace(contents, notes=(*contents.notes, note))
        return contents if labels is None else label_contents(Path(labels), contents)
    own = contents.train.labels
    out = held_out_mask(own, HELD_OUT if holdout is None else holdout)
    if labels is None:
        return _split(contents, out, holdout)
    if numbers_training_split(Path(labels), int((~out).sum())):
        return label_contents(Path(labels), _split(contents, out, holdout))
    relabelled = label_contents(Path(labels), contents)
    return _split(relabelled, out, holdout, own, relabelled.class_names == contents.class_names)


def _split(
    contents: Contents,
    out: np.ndarray,
    holdout: float | None,
    own: np.ndarray | None = None,
    comparable: bool = False,
) -> Contents:
    """The source split by a mask [N] of the images to hold out.

    Args:
      own: the labels of the source, before a label file was applied.
      comparable: whether `own` has the same classes; then held-out images without a new label keep the old.
    """
    images = contents.train
    own = images.labels if own is None else own
    missing = (hardened(own) == UNLABELLED).any()
    scarce = _scarce(hardened(images.labels)) if missing else np.zeros_like(out)
    without_scarce = out & ~scarce
    if 2 * without_scarce.sum() >= out.sum():  # otherwise the test split would be too small
        out = without_scarce
    if not out.any():
        why = "no images are held out" if holdout == 0 else "there are too few images to hold any out"
        note = f"{why}, so scores are measured against the training images; --test_data selects other images"
        return dataclasses.replace(contents, test=images, notes=(*contents.notes, note))
    train, test = images.select(np.flatnonzero(~out)), images.select(np.flatnonzero(out))
    if comparable and own.ndim == test.labels.ndim == 1:
        test = StoredSplit(test.records, np.where(test.labels == UNLABELLED, own[out], test.labels))
    notes = contents.notes
    if holdout is None:
        kept = (
            ", none of them labelled, since labels are scarce"
            if out is without_scarce and scarce.any()
            else ""
        )
        notes = (
            *notes,
            f"{len(test):,} of {len(images):,} images are held out for scores{kept}; --holdout 0 holds out "
            "none, --test_data selects other images",
        )
    return dataclasses.replace(contents, train=train, test=test, notes=notes)


def _scarce(labels: np.ndarray) -> np.ndarray:
    """Mask [N] of the images in classes with fewer than `MIN_LABELS_TO_HOLD_OUT` labels."""
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return ((classes != UNLABELLED) & (counts < MIN_LABELS_TO_HOLD_OUT))[inverse]

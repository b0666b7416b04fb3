"""A validation split of the training images, to choose checkpoints without test images."""

import dataclasses

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import ImageDataset, Split, hard_labels
from compare_gan.data.labels import subset
from compare_gan.data.order import permutation


def with_validation(dataset: ImageDataset, share: float, seed: int) -> tuple[ImageDataset, Split]:
    """Splits off a fraction of the training images as a validation split.

    Args:
      dataset: a data set.
      share: fraction of each class and of the unlabelled images, in (0, 1); counts are rounded.
      seed: of the random choice.

    Returns:
      The data set without the validation images, and the validation split.

    Raises:
      UserError: `share` is not in (0, 1), or selects no image or all images.
    """
    if not 0 < share < 1:
        raise UserError(f"--validation is {share}; it is a fraction of the training images, in (0, 1)")
    labels = hard_labels(dataset.train)
    out = np.zeros(len(labels), bool)
    for number, label in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == label)
        out[members[permutation(len(members), seed, number)[: round(share * len(members))]]] = True
    if not out.any() or out.all():
        raise UserError(
            f"{dataset.name}: --validation {share} of {len(labels)} training images holds out {out.sum()}; "
            "choose another fraction"
        )
    rest = dataclasses.replace(dataset, train=subset(dataset.train, np.flatnonzero(~out)))
    return rest, subset(dataset.train, np.flatnonzero(out))

"""Training images that are held out to choose a checkpoint by, so that test images choose nothing."""

import dataclasses

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import ImageDataset, Split, hard_labels
from compare_gan.data.labels import subset
from compare_gan.data.order import permutation


def with_validation(dataset: ImageDataset, share: float, seed: int) -> tuple[ImageDataset, Split]:
    """The data set without a share of its training images, and the images that are left out.

    Args:
      dataset: a data set.
      share: of each class and of the unlabelled images, rounded, in (0, 1).
      seed: of the choice.

    Raises:
      UserError: the share is not in (0, 1), or holds out no image or all of them.
    """
    if not 0 < share < 1:
        raise UserError(f"--validation is {share}; it is a share of the training images, in (0, 1)")
    labels = hard_labels(dataset.train)
    out = np.zeros(len(labels), bool)
    for number, label in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == label)
        out[members[permutation(len(members), seed, number)[: round(share * len(members))]]] = True
    if not out.any() or out.all():
        raise UserError(
            f"{dataset.name}: --validation {share} of {len(labels)} training images holds out {out.sum()}; "
            "choose another share"
        )
    rest = dataclasses.replace(dataset, train=subset(dataset.train, np.flatnonzero(~out)))
    return rest, subset(dataset.train, np.flatnonzero(out))

"""The base class of augmentations that check the images they are applied to."""

import abc

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, ImageSpec

DIFFAUGMENT = {"color": 3, "translation": 2, "cutout": 2}  # operation -> number of its parameters


class CheckedAugment(abc.ABC):
    """An `Augment` with a check. Subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def check(self, spec: ImageSpec) -> None:
        """Checks that images of this kind can be augmented.

        Raises:
          UserError: they cannot.
        """

    @abc.abstractmethod
    def __call__(self, key: Array, image: Array, p: Array | float) -> Array:
        """See `Augment`."""


def refuse_mirror(option: str, spec: ImageSpec, instead: str) -> None:
    """Refuses an option that mirrors images if the data set says that they must not be mirrored.

    Args:
      option: the option and its value, for the message.
      spec: the images.
      instead: what to set instead, for the message.

    Raises:
      UserError: `spec.mirror` is False.
    """
    if not spec.mirror:
        raise UserError(
            f"{option} mirrors images, but those of this data set have a reading direction: set {instead}"
        )

"""What a data set is: two splits of images in memory, and the names of the classes."""

import dataclasses

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec

UNLABELLED = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels."""

    images: np.ndarray  # [N, H, W, C] uint8
    labels: np.ndarray  # [N] int32 class indices, -1 = unlabelled; or [N, K] float32 soft labels

    def __len__(self) -> int:
        return len(self.images)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Train and test images of one size.

    The labels of `test` are for evaluation only; nothing that trains reads them.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]  # empty: a data set without labels

    @property
    def spec(self) -> ImageSpec:
        h, w, c = self.train.images.shape[1:]
        return ImageSpec((h, w, c), len(self.class_names))

    def with_labels(self, labels: np.ndarray) -> "ImageDataset":
        """The same images under other training labels.

        Raises:
          UserError: not one label for each training image.
        """
        if len(labels) != len(self.train):
            raise UserError(f"{len(labels)} labels for the {len(self.train)} training images of {self.name}")
        return dataclasses.replace(self, train=Split(self.train.images, labels))

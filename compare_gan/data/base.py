"""What a data set is: two splits of images, and the names of the classes."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec

UNLABELLED = -1


class Images(Protocol):
    """Images by number, [N, H, W, C] uint8: an array, or `compare_gan.data.streamed.Streamed`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | np.ndarray, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels."""

    images: Images  # [N, H, W, C] uint8
    labels: np.ndarray  # [N] int32 class indices, -1 = unlabelled; or [N, K] float32 soft labels
    names: Sequence[str] = ()  # [N] what the source calls each image; empty if it has no names

    def __len__(self) -> int:
        return len(self.images)


def hardened(labels: np.ndarray) -> np.ndarray:
    """Class indices [N]; of soft labels [N, K] the likeliest class, -1 for a row of zeros."""
    if labels.ndim == 1:
        return labels
    return np.where(labels.any(1), labels.argmax(1), UNLABELLED).astype(np.int32)


def hard_labels(split: Split) -> np.ndarray:
    """The labels of a split as class indices [N]."""
    return hardened(split.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Train and test images of one size.

    The labels of `test` are for evaluation only; nothing that trains reads them.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]  # empty: a data set without labels
    fit: str = "as stored"  # how test images were cropped and resized: scores depend on it
    test_class_names: tuple[str, ...] | None = None  # of the test labels; None: those of the training labels

    @property
    def test_classes(self) -> tuple[str, ...]:
        """The names of the classes that test labels count."""
        return self.class_names if self.test_class_names is None else self.test_class_names

    @property
    def spec(self) -> ImageSpec:
        h, w, c = self.train.images.shape[1:]
        return ImageSpec((h, w, c), len(self.class_names))

    def with_labels(self, labels: np.ndarray, class_names: tuple[str, ...] | None = None) -> "ImageDataset":
        """The same images under other training labels; of other classes, if these are named.

        Test labels stay those of the old classes.

        Raises:
          UserError: not one label for each training image.
        """
        if len(labels) != len(self.train):
            raise UserError(f"{len(labels)} labels for the {len(self.train)} training images of {self.name}")
        train = dataclasses.replace(self.train, labels=labels)
        names = self.class_names if class_names is None else class_names
        return dataclasses.replace(self, train=train, class_names=names, test_class_names=self.test_classes)

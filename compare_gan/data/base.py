"""The data set type: two splits of images, and the class names."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec

UNLABELLED = -1


class Images(Protocol):
    """Images by index, [N, H, W, C] uint8: an array, or `compare_gan.data.streamed.Streamed`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | np.ndarray, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    >>> split = cg.open_dataset("digits").test
    >>> len(split), split.images.shape, split.labels.shape
    (450, (450, 8, 8, 1), (450,))
    """

    images: Images  # [N, H, W, C] uint8
    labels: np.ndarray  # [N] int32 class indices, -1 = unlabelled; or [N, K] float32 soft labels
    names: Sequence[str] = ()  # [N] file names in the source; empty if images are unnamed

    def __len__(self) -> int:
        return len(self.images)


def hardened(labels: np.ndarray) -> np.ndarray:
    """Class indices [N]. Soft labels [N, K] become their argmax, and -1 for a row of zeros."""
    if labels.ndim == 1:
        return labels
    return np.where(labels.any(1), labels.argmax(1), UNLABELLED).astype(np.int32)


def hard_labels(split: Split) -> np.ndarray:
    """The labels of a split as class indices [N]."""
    return hardened(split.labels)


def example_rows(labels: np.ndarray, num_classes: int, columns: int, mixed_rows: int) -> np.ndarray:
    """Indices of images to show, [rows, columns]: a row for each class that has images.

    Args:
      labels: class indices [N].
      num_classes: the number of classes to show.
      columns: the number of images in a row; those of a smaller class are repeated.
      mixed_rows: the number of rows if no class has images: evenly spaced images.
    """
    members = [np.flatnonzero(labels == k) for k in range(num_classes)]
    rows = [np.resize(indices, columns) for indices in members if len(indices)]
    if rows:
        return np.stack(rows)
    even = np.linspace(0, len(labels) - 1, mixed_rows * columns).astype(int)
    return np.stack([even[i::mixed_rows] for i in range(mixed_rows)])


@dataclasses.dataclass(frozen=True)
class Origin:
    """How to open a data set again, as recorded in `run.json`."""

    data: str | Sequence[str] | None  # a name, or absolute paths; None: arrays
    reading: dict[str, Any]  # the fields of `compare_gan.data.LoadOptions`
    labels: dict[str, str] | None = None  # what replaced the labels, see `labels.describe_choice`
    labelled_only: bool = False  # unlabelled training images were dropped
    assigned: bool = False  # the training labels were computed, and are in no file that `labels` names


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Train and test images of one size.

    The labels of `test` are for evaluation only; training never reads them.

    >>> data = cg.open_dataset("digits")
    >>> data.spec, data.class_names[:3]
    (ImageSpec(image_shape=(8, 8, 1), num_classes=10), ('0', '1', '2'))
    >>> labels = np.where(data.train.labels == 3, 3, -1)  # hide all labels but those of threes
    >>> len(data.with_labels(labels).train)
    1347
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]  # empty: no labels
    fit: str = "as stored"  # how test images were cropped and resized: scores depend on it
    test_class_names: tuple[str, ...] | None = None  # class names of the test labels; None: `class_names`
    origin: Origin | None = None  # None: made by hand
    mirror: bool = True  # False: mirrored images mean something else, as digits do

    @property
    def test_classes(self) -> tuple[str, ...]:
        """The class names that test labels index."""
        return self.class_names if self.test_class_names is None else self.test_class_names

    @property
    def spec(self) -> ImageSpec:
        h, w, c = self.train.images.shape[1:]
        return ImageSpec((h, w, c), len(self.class_names), self.mirror)

    def with_labels(self, labels: np.ndarray, class_names: tuple[str, ...] | None = None) -> "ImageDataset":
        """The same images with other training labels, and optionally other classes.

        Test labels keep the old classes.

        Raises:
          UserError: the number of labels differs from the number of training images.
        """
        if len(labels) != len(self.train):
            raise UserError(f"{len(labels)} labels for the {len(self.train)} training images of {self.name}")
        train = dataclasses.replace(self.train, labels=labels)
        return dataclasses.replace(
            self,
            train=train,
            class_names=self.class_names if class_names is None else class_names,
            test_class_names=self.test_classes,
            origin=self.origin and dataclasses.replace(self.origin, labels=None, assigned=True),
        )

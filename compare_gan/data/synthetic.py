"""Made-up images, for tests: no files, no downloads."""

import numpy as np

from compare_gan.core.registry import DATASETS
from compare_gan.data.base import ImageDataset, Split

CORNERS = ("top left", "top right", "bottom left", "bottom right")


@DATASETS.register("blobs")
def blobs() -> ImageDataset:
    """Dim 8x8 RGB noise with one bright corner, which is the class: 256 train and 64 test images."""
    rng = np.random.default_rng(0)
    return ImageDataset("blobs", _draw(rng, 256), _draw(rng, 64), CORNERS)


def _draw(rng: np.random.Generator, count: int) -> Split:
    labels = np.arange(count, dtype=np.int32) % len(CORNERS)
    images = rng.integers(0, 64, (count, 8, 8, 3), np.uint8)
    quarters = images.reshape(count, 2, 4, 2, 4, 3)  # a view: row of corners, row, column of corners, column
    quarters[np.arange(count), labels // 2, :, labels % 2] += 160
    return Split(images, labels)

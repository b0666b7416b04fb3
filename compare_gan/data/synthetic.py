"""Synthetic images: no files, no downloads."""

import numpy as np

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import DATASETS
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.facts import DATASET_INFO
from compare_gan.data.records import Contents, Pixels, StoredSplit

FAKE_IMAGES = 100
CORNERS = ("top left", "top right", "bottom left", "bottom right")


@DATASETS.register("blobs")
def blobs() -> Contents:
    """Dim 8x8 RGB noise with one bright corner, which is the class: 256 train and 64 test images."""
    rng = np.random.default_rng(0)
    return Contents("blobs", "blobs", _draw(rng, 256), _draw(rng, 64), CORNERS)


def _draw(rng: np.random.Generator, count: int) -> StoredSplit:
    labels = np.arange(count, dtype=np.int32) % len(CORNERS)
    images = rng.integers(0, 64, (count, 8, 8, 3), np.uint8)
    quarters = images.reshape(count, 2, 4, 2, 4, 3)  # a view: row of corners, row, column of corners, column
    quarters[np.arange(count), labels // 2, :, labels % 2] += 160
    return StoredSplit(Pixels(images, "blobs"), labels)


def fake(name: str) -> ImageDataset:
    """Uniform noise in the shape of a named data set, to try a configuration without data.

    As in compare_gan, 100 images with label 1.

    Raises:
      UserError: the name is not in `DATASET_INFO`.
    """
    if name not in DATASET_INFO:
        raise UserError(f"no image shape is known for {name!r}{did_you_mean(name, DATASET_INFO)}")
    facts, rng = DATASET_INFO[name], np.random.default_rng(0)
    label = min(1, facts.num_classes - 1) if facts.num_classes else UNLABELLED
    train, test = (
        Split(
            rng.integers(0, 256, (FAKE_IMAGES, *facts.image_shape), np.uint8),
            np.full(FAKE_IMAGES, label, np.int32),
        )
        for _ in range(2)
    )
    names = tuple(map(str, range(facts.num_classes)))
    return ImageDataset(name, train, test, names, mirror=facts.mirror)

"""From what a reader found to a data set: one size, one depth, a test split."""

from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import ImageDataset, Split

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that is there is the test split
HELD_OUT = 1 / 5
MOST_CLASSES = 100_000


def split_off(whole: Split, fraction: float) -> tuple[Split, Split]:
    """The rest of `whole`, and `fraction` of each class, rounded, taken at even distances.

    Nothing random: every run, seed and machine gets the same split. The order of the images is kept.
    """
    out = np.zeros(len(whole), bool)
    for label in np.unique(whole.labels):
        members = np.flatnonzero(whole.labels == label)
        count = round(fraction * len(members))
        out[members[(2 * np.arange(count) + 1) * len(members) // max(2 * count, 1)]] = True
    return Split(whole.images[~out], whole.labels[~out]), Split(whole.images[out], whole.labels[out])


def complete(path: Path, train: Split, test: Split | None, class_names: tuple[str, ...]) -> ImageDataset:
    """The data set of the file or folder `path`.

    Without a test split, a fifth of each class is held out. If only one split is grey, it becomes RGB too.

    Raises:
      UserError: no class has enough images to hold any out, or the splits differ in size.
    """
    if test is None:
        train, test = split_off(train, HELD_OUT)
        if not len(test):
            raise UserError(f"{path}: no class has 3 images, so none can be held out; add a test split")
    h, w, c = train.images.shape[1:]
    if test.images.shape[1:3] != (h, w):
        th, tw = test.images.shape[1:3]
        raise UserError(f"{path}: train images are {h}x{w} but test images {th}x{tw}; give image_size")
    depth = max(c, test.images.shape[3])
    return ImageDataset(path.resolve().name, _deepen(train, depth), _deepen(test, depth), class_names)


def class_indices(path: Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """`labels` of `count` images as [count] int32.

    Args:
      name: what `path` calls them.

    Raises:
      UserError: they are not one class index for each image.
    """
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise UserError(f"{path}: {name} is {labels.dtype} {list(labels.shape)}; wanted [N] integers from 0")
    if len(labels) != count:
        raise UserError(f"{path}: {name} has {len(labels)} entries for {count} images")
    if count and not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise UserError(f"{path}: {name} holds {wrong}; class indices are 0 to {MOST_CLASSES - 1}")
    return labels.astype(np.int32)


def numbered(train: Split, test: Split | None) -> tuple[str, ...]:
    """Class names where only numbers are known: "0" to the largest; none if all are unlabelled."""
    largest = max(int(split.labels.max()) for split in (train, test) if split is not None)
    return tuple(str(i) for i in range(largest + 1))


def _deepen(split: Split, depth: int) -> Split:
    if split.images.shape[3] == depth:
        return split
    return Split(np.repeat(split.images, depth, axis=3), split.labels)

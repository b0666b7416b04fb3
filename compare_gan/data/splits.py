"""What readers share: splits by name, a test split held out, labels checked."""

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.records import Part

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that is there is the test split
HELD_OUT = 1 / 5
MOST_CLASSES = 100_000


def held_out_mask(labels: np.ndarray, fraction: float = HELD_OUT) -> np.ndarray:
    """Which images [N] to hold out: `fraction` of each class, rounded, taken at even distances.

    Nothing random: every run, seed and machine gets the same split. Unlabelled images count as a class.

    Args:
      labels: [N] class indices, -1 = unlabelled; or soft labels [N, K].
      fraction: in [0, 1).
    """
    classes = labels if labels.ndim == 1 else labels.argmax(1)
    out = np.zeros(len(labels), bool)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = round(fraction * len(members))
        out[members[(2 * np.arange(count) + 1) * len(members) // max(2 * count, 1)]] = True
    return out


def class_indices(path: object, name: str, labels: np.ndarray, count: int) -> np.ndarray:
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


def numbered(*parts: Part | None) -> tuple[str, ...]:
    """Class names where only numbers are known: "0" to the largest; none if all are unlabelled."""
    largest = max((int(part.labels.max()) for part in parts if part is not None and len(part)), default=-1)
    return tuple(str(i) for i in range(largest + 1))

"""Which labels training may see, and the file that says so.

A label file is an `.npz` of two arrays, M labelled images out of N:

  index: [M] int64, ascending
  label: [M] int32 class indices, or [M, K] float32 probabilities (soft labels)
"""

from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import UNLABELLED
from compare_gan.data.order import permutation


def choose_kept(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Sorted indices of the images that keep their label: `fraction` of each class, but at least one.

    The arguments alone decide. With one seed, a smaller fraction keeps a part of what a larger one keeps.

    Args:
      labels: [N] class indices; images that are unlabelled already are never chosen.

    Raises:
      UserError: the fraction is not in (0, 1], or no image is labelled.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"label fraction {fraction} is not in (0, 1]; 0.1 keeps one label in ten")
    classes = np.unique(labels[labels != UNLABELLED])
    if not len(classes):
        raise UserError("no image has a label, so there are none to keep")
    kept = []
    for index in classes:
        members = np.flatnonzero(labels == index)
        order = permutation(len(members), seed, int(index))
        kept.append(members[order[: max(1, round(fraction * len(members)))]])
    return np.sort(np.concatenate(kept))


def write_labels(path: Path, indices: np.ndarray, labels: np.ndarray) -> None:
    """Writes a label file; the same labels, in any order, make the same bytes.

    Raises:
      UserError: the arrays are not what a label file holds.
    """
    _check(path, indices, labels)
    order = np.argsort(indices)
    kind = np.int32 if labels.ndim == 1 else np.float32
    with atomic(path) as file:  # NumPy dates every member 1980-01-01, so the clock leaves no trace
        np.savez(file, index=indices[order].astype(np.int64), label=labels[order].astype(kind))


def read_labels(path: Path, count: int) -> np.ndarray:
    """The labels of all `count` images, as the label file gives them.

    Returns:
      [count] int32, -1 where there is none; or of soft labels [count, K] float32, zero where there is none.

    Raises:
      UserError: it cannot be read, is not a label file, or is one for other images.
    """
    arrays = plain_arrays(path)
    if arrays.keys() != {"index", "label"}:
        raise UserError(f"{path}: not a label file: holds {', '.join(arrays)}; wanted index and label")
    index, label = arrays["index"], arrays["label"]
    _check(path, index, label)
    if index.size and index.max() >= count:
        raise UserError(
            f"{path}: index {index.max()} is out of range for {count} images; made from other data?"
        )
    if label.ndim == 1:
        hard = np.full(count, UNLABELLED, np.int32)
        hard[index] = label
        return hard
    soft = np.zeros((count, label.shape[1]), np.float32)
    soft[index] = label
    return soft


def _check(path: Path, index: np.ndarray, label: np.ndarray) -> None:
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise UserError(f"{path}: index is {index.dtype} {list(index.shape)}; wanted a list of integers")
    if len(index) != (len(label) if label.ndim else 0):
        raise UserError(f"{path}: {len(index)} indices but labels of shape {list(label.shape)}")
    if index.size and index.min() < 0:
        raise UserError(f"{path}: index {index.min()} is negative")
    values, times = np.unique(index, return_counts=True)
    if (times > 1).any():
        raise UserError(f"{path}: index {values[times > 1][0]} is given twice; label each image once")
    if label.ndim == 1 and label.dtype.kind in "iu":
        if label.size and label.min() < 0:
            raise UserError(f"{path}: label {label.min()} is negative; leave unlabelled images out")
    elif label.ndim == 2 and label.dtype.kind == "f":
        if not ((label >= 0).all() and np.allclose(label.sum(1), 1, atol=1e-3)):
            raise UserError(f"{path}: a row of soft labels is not a set of probabilities that add up to 1")
    else:
        raise UserError(
            f"{path}: label is {label.dtype} {list(label.shape)}; wanted [M] integers or [M, K] probabilities"
        )

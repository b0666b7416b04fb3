"""Maps class indices between two sets of images with different classes."""

import dataclasses
import hashlib

import numpy as np

from compare_gan.data.base import UNLABELLED, Split, hard_labels


def translate_labels(
    labels: np.ndarray, names: tuple[str, ...], target: tuple[str, ...]
) -> tuple[np.ndarray | None, int]:
    """Maps labels that index `names` to indices into `target`.

    Classes match by name, or by number if all names of one side are numbers.

    Args:
      labels: [N] class indices, -1 = unlabelled.

    Returns:
      Labels [N], -1 if `target` lacks the class, or None if no label is left; and the number of matches.
    """
    if names == target:
        index = np.arange(len(names))
    else:
        ours, theirs = _numbers(names), _numbers(target)
        if ours is None and theirs is None:
            index_of = {name: i for i, name in enumerate(target)}
            found = [index_of.get(name, UNLABELLED) for name in names]
        else:
            index_of_number = {number: i for i, number in enumerate(theirs or range(len(target)))}
            found = [index_of_number.get(number, UNLABELLED) for number in ours or range(len(names))]
        index = np.array(found, np.int64)
    # Index -1 (unlabelled) selects the last entry.
    mapped = np.append(index, UNLABELLED)[labels].astype(np.int32)
    return (mapped if (mapped >= 0).any() else None), int((index >= 0).sum())


def with_classes(split: Split, names: tuple[str, ...], target: tuple[str, ...]) -> Split:
    """A split with labels that index `names` mapped to indices into `target`."""
    labels, _ = translate_labels(hard_labels(split), names, target)
    if labels is None:
        labels = np.full(len(split), UNLABELLED, np.int32)
    return dataclasses.replace(split, labels=labels)


def labels_sha256(labels: np.ndarray, names: tuple[str, ...]) -> str:
    """SHA-256 of labels [N] and of their class names."""
    encoded = "\0".join(names).encode()
    return hashlib.sha256(encoded + b"\0\0" + np.ascontiguousarray(labels, "<i4").tobytes()).hexdigest()


def _numbers(names: tuple[str, ...]) -> tuple[int, ...] | None:
    """Class names as integers if all are decimal numbers in ascending order, else None.

    Readers number classes without names. Folders named by numbers sort as 0, 1, 10, 2: those are names.
    """
    if not all(name.isdecimal() for name in names):
        return None
    numbers = tuple(map(int, names))
    return numbers if list(numbers) == sorted(set(numbers)) else None

"""Classes of two sets of images that count them differently."""

import dataclasses
import hashlib

import numpy as np

from compare_gan.data.base import UNLABELLED, Split, hard_labels


def translate_labels(
    labels: np.ndarray, names: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[np.ndarray | None, int]:
    """Labels of the classes `names` as indices of the classes `wanted`.

    Classes match by name, or by number where either side only has numbers for names.

    Args:
      labels: [N] class indices, -1 = unlabelled.

    Returns:
      Labels [N], -1 where `wanted` lacks the class; None where no label is left. And how many classes match.
    """
    if names == wanted:
        index = np.arange(len(names))
    else:
        ours, theirs = _numbers(names), _numbers(wanted)
        if ours is None and theirs is None:
            known = {name: i for i, name in enumerate(wanted)}
            found = [known.get(name, UNLABELLED) for name in names]
        else:
            places = {number: i for i, number in enumerate(theirs or range(len(wanted)))}
            found = [places.get(number, UNLABELLED) for number in ours or range(len(names))]
        index = np.array(found, np.int64)
    # The last entry is what -1 picks.
    moved = np.append(index, UNLABELLED)[labels].astype(np.int32)
    return (moved if (moved >= 0).any() else None), int((index >= 0).sum())


def with_classes(split: Split, names: tuple[str, ...], wanted: tuple[str, ...]) -> Split:
    """A split whose labels count the classes `names` under labels [N] that count the classes `wanted`."""
    labels, _ = translate_labels(hard_labels(split), names, wanted)
    if labels is None:
        labels = np.full(len(split), UNLABELLED, np.int32)
    return dataclasses.replace(split, labels=labels)


def labels_sha256(labels: np.ndarray, names: tuple[str, ...]) -> str:
    """A digest of labels [N] and of what their classes are called."""
    words = "\0".join(names).encode()
    return hashlib.sha256(words + b"\0\0" + np.ascontiguousarray(labels, "<i4").tobytes()).hexdigest()


def _numbers(names: tuple[str, ...]) -> tuple[int, ...] | None:
    """Names that are only numbers, as readers give them to classes without names; None for other names.

    Folders called by numbers come in another order from ten on, 0, 1, 10, 2: those are names.
    """
    if not all(name.isdecimal() for name in names):
        return None
    numbers = tuple(map(int, names))
    return numbers if list(numbers) == sorted(set(numbers)) else None

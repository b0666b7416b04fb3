"""The choice of training labels: those of the data set, a subset, those of a file, or artificial ones.

Each choice maps a data set to a data set with the same images and test labels. Labels that are not of the
data set's classes come with new class names.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import regular
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.label_files import digest, read_labels
from compare_gan.data.label_rows import files_of
from compare_gan.data.order import permutation
from compare_gan.data.records import StoredSplit
from compare_gan.data.streamed import Streamed

CHOICES = "single, random[:SEED] or clusters:FILE"
CLUSTERS = "clusters:"


def choose_kept(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Sorted indices of the images that keep their label: `fraction` of each class, but at least one.

    Deterministic given the arguments. For a fixed seed, choices are nested: keeping fewer labels of a class
    keeps a subset of keeping more. This also holds for `choose_per_class`.

    Args:
      labels: [N] class indices; unlabelled images are never chosen.
      fraction: in (0, 1].
      seed: of the choice.

    Raises:
      UserError: the fraction is not in (0, 1], or no image is labelled.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"label fraction {fraction} is not in (0, 1]; 0.1 keeps a tenth of the labels")
    return _choose(labels, lambda members: max(1, round(fraction * members)), seed)


def choose_per_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Like `choose_kept`, but keeps `count` labels per class, or all labels of a smaller class.

    Raises:
      UserError: `count` is not positive, or no image is labelled.
    """
    if count < 1:
        raise UserError(f"{count} labels per class are too few; the minimum is 1")
    return _choose(labels, lambda members: count, seed)


def _choose(labels: np.ndarray, quota: Callable[[int], int], seed: int) -> np.ndarray:
    classes = np.unique(labels[labels != UNLABELLED])
    if not len(classes):
        raise UserError("no image has a label, so no labels can be kept")
    kept = []
    for index in classes:
        members = np.flatnonzero(labels == index)
        order = permutation(len(members), seed, int(index))
        kept.append(members[order[: quota(len(members))]])
    return np.sort(np.concatenate(kept))


def single(dataset: ImageDataset) -> ImageDataset:
    """Assigns all training images to one class, "all"."""
    return dataset.with_labels(np.zeros(len(dataset.train), np.int32), ("all",))


def at_random(dataset: ImageDataset, seed: int) -> ImageDataset:
    """Assigns each training image a random class, fixed by the seed; the number of classes is unchanged.

    Raises:
      UserError: the data set has no classes.
    """
    count = dataset.spec.num_classes
    if not count:
        raise UserError(f"{dataset.name}: has no classes to draw labels from; use a label file")
    labels = np.random.PCG64(seed).random_raw(len(dataset.train)) % count
    return dataset.with_labels(labels.astype(np.int32), tuple(f"random {k}" for k in range(count)))


def from_file(dataset: ImageDataset, path: Path) -> ImageDataset:
    """Labels from a label file. The classes are those of the data set, or else of the file.

    Raises:
      UserError: the file is not a label file, or does not match the data set.
    """
    return dataset.with_labels(*read_labels(path, dataset.train, dataset.class_names, dataset.test.names))


def clustered(dataset: ImageDataset, path: Path) -> ImageDataset:
    """Labels and classes from a label file.

    Raises:
      UserError: the file is not a label file, does not match the images, or labels none.
    """
    labels, names = read_labels(path, dataset.train, others=dataset.test.names)
    if not names:
        raise UserError(f"{path}: labels no image, so there are no clusters")
    return dataset.with_labels(labels, tuple(f"cluster {name}" for name in names))


def relabelled(dataset: ImageDataset, choice: str) -> ImageDataset:
    """The data set with other training labels.

    Args:
      choice: `single`, `random`, `random:SEED`, `clusters:FILE`, or a label file.

    Raises:
      UserError: the choice is invalid, or does not match the data set.
    """
    relabel, _ = _parsed(choice)
    found = relabel(dataset)
    if found.origin is None:
        return found
    origin = dataclasses.replace(found.origin, labels=describe_choice(choice), assigned=False)
    return dataclasses.replace(found, origin=origin)


def describe_choice(choice: str) -> dict[str, str]:
    """A record that makes a choice reproducible: the choice with an absolute path, and the file's SHA-256.

    Raises:
      UserError: the choice is invalid, or its file cannot be read.
    """
    _, path = _parsed(choice)
    if path is None:
        return {"choice": choice}
    prefix = CLUSTERS if choice.startswith(CLUSTERS) else ""
    return {"choice": f"{prefix}{path.resolve()}", "sha256": digest(path)}


def label_file(choice: str) -> Path | None:
    """The label file of a choice, or the pattern of several; None if the choice needs no file.

    Raises:
      UserError: the choice is invalid, or a file does not exist.
    """
    _, path = _parsed(choice)
    for file in () if path is None else files_of(path):
        regular(file)
    return path


def _parsed(choice: str) -> tuple[Callable[[ImageDataset], ImageDataset], Path | None]:
    """The function that applies a choice, and its label file."""
    word, _, rest = choice.partition(":")
    if choice == "single":
        return single, None
    if word == "random":
        if rest and not rest.isdecimal():
            raise UserError(f"labels {choice}: {rest!r} is not a seed; seeds are nonnegative integers")
        return functools.partial(at_random, seed=int(rest or 0)), None
    if word == "clusters":
        return functools.partial(clustered, path=Path(rest)), Path(rest)
    path = Path(choice)
    if not path.suffix and not any(file.exists() for file in files_of(path)):
        raise UserError(f"labels {choice!r} are neither an existing file nor {CHOICES}")
    return functools.partial(from_file, path=path), path


def labelled_only(dataset: ImageDataset) -> ImageDataset:
    """Drops the unlabelled training images.

    Raises:
      UserError: no training image has a label.
    """
    train = dataset.train
    labelled = train.labels != UNLABELLED if train.labels.ndim == 1 else train.labels.any(1)
    index = np.flatnonzero(labelled)
    if not len(index):
        raise UserError(f"{dataset.name}: no training image has a label")
    return dataclasses.replace(
        dataset,
        train=train if labelled.all() else subset(train, index),
        origin=dataset.origin and dataclasses.replace(dataset.origin, labelled_only=True),
    )


def subset(split: Split, index: np.ndarray) -> Split:
    """The images at these indices, in this order."""
    names = [split.names[i] for i in index] if split.names else ()
    if not isinstance(split.images, Streamed):
        return Split(split.images[index], split.labels[index], names)
    selected = StoredSplit(split.images.records, split.labels).select(index)
    return Split(dataclasses.replace(split.images, records=selected.records), selected.labels, names)

"""Which labels training sees: the data set's, a few of them, a file's, or made-up ones.

A choice of labels is a function from one data set to another. The images stay; where the labels are not
of the data set's classes, they bring classes with names of their own. Test labels stay as they are.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.label_files import digest, read_labels
from compare_gan.data.label_rows import files_of
from compare_gan.data.order import permutation
from compare_gan.data.records import Part
from compare_gan.data.streamed import Streamed

CHOICES = "single, random[:SEED] or clusters:FILE"


def choose_kept(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Sorted indices of the images that keep their label: `fraction` of each class, but at least one.

    The arguments alone decide. With one seed, what keeps fewer of a class keeps a part of what keeps more;
    that goes for `choose_per_class`, too.

    Args:
      labels: [N] class indices; images that are unlabelled already are never chosen.

    Raises:
      UserError: the fraction is not in (0, 1], or no image is labelled.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"label fraction {fraction} is not in (0, 1]; 0.1 keeps one label in ten")
    return _choose(labels, lambda members: max(1, round(fraction * members)), seed)


def choose_per_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """As `choose_kept`, but `count` of each class, or all of a class that has fewer.

    Raises:
      UserError: the count is not positive, or no image is labelled.
    """
    if count < 1:
        raise UserError(f"{count} labels per class are too few; keep at least 1")
    return _choose(labels, lambda members: count, seed)


def _choose(labels: np.ndarray, quota: Callable[[int], int], seed: int) -> np.ndarray:
    classes = np.unique(labels[labels != UNLABELLED])
    if not len(classes):
        raise UserError("no image has a label, so there are none to keep")
    kept = []
    for index in classes:
        members = np.flatnonzero(labels == index)
        order = permutation(len(members), seed, int(index))
        kept.append(members[order[: quota(len(members))]])
    return np.sort(np.concatenate(kept))


def single(dataset: ImageDataset) -> ImageDataset:
    """All images are of one class."""
    return dataset.with_labels(np.zeros(len(dataset.train), np.int32), ("all",))


def at_random(dataset: ImageDataset, seed: int) -> ImageDataset:
    """As many classes as there are, and a class for each image, drawn once.

    Raises:
      UserError: the data set has no classes.
    """
    count = dataset.spec.num_classes
    if not count:
        raise UserError(f"{dataset.name}: has no classes to draw labels from; write a label file")
    labels = np.random.PCG64(seed).random_raw(len(dataset.train)) % count
    return dataset.with_labels(labels.astype(np.int32), tuple(f"random {k}" for k in range(count)))


def from_file(dataset: ImageDataset, path: Path) -> ImageDataset:
    """Labels from a label file, of the data set's classes; of the file's own if the data set has none.

    Raises:
      UserError: it is not a label file, or does not fit the data set.
    """
    return dataset.with_labels(*read_labels(path, dataset.train, dataset.class_names, dataset.test.names))


def clustered(dataset: ImageDataset, path: Path) -> ImageDataset:
    """Labels from a label file, of the file's own classes.

    Raises:
      UserError: it is not a label file, does not fit the images, or labels none.
    """
    labels, names = read_labels(path, dataset.train, others=dataset.test.names)
    if not names:
        raise UserError(f"{path}: labels no image, so there are no clusters")
    return dataset.with_labels(labels, tuple(f"cluster {name}" for name in names))


def relabelled(dataset: ImageDataset, choice: str) -> ImageDataset:
    """The data set under other labels.

    Args:
      choice: `single`, `random`, `random:SEED`, `clusters:FILE`, or a label file.

    Raises:
      UserError: it is none of these, or does not fit the data set.
    """
    relabel, _ = _parsed(choice)
    return relabel(dataset)


def described(choice: str) -> dict[str, str]:
    """What to note of a choice, so that the same labels can be had again: its words, the digest of its file.

    Raises:
      UserError: it is no choice, or its file cannot be read.
    """
    _, path = _parsed(choice)
    return {"choice": choice} if path is None else {"choice": choice, "sha256": digest(path)}


def _parsed(choice: str) -> tuple[Callable[[ImageDataset], ImageDataset], Path | None]:
    """What a choice does, and the file that it names."""
    word, _, rest = choice.partition(":")
    if choice == "single":
        return single, None
    if word == "random":
        if rest and not rest.isdecimal():
            raise UserError(f"labels {choice}: {rest!r} is not a seed; seeds are whole numbers, 0 or more")
        return functools.partial(at_random, seed=int(rest or 0)), None
    if word == "clusters":
        return functools.partial(clustered, path=Path(rest)), Path(rest)
    path = Path(choice)
    if not path.suffix and not any(file.exists() for file in files_of(path)):
        raise UserError(f"labels {choice!r} are neither a file that exists nor {CHOICES}")
    return functools.partial(from_file, path=path), path


def labelled_only(dataset: ImageDataset) -> ImageDataset:
    """Without the training images that have no label.

    Raises:
      UserError: none has one.
    """
    train = dataset.train
    labelled = train.labels != UNLABELLED if train.labels.ndim == 1 else train.labels.any(1)
    if labelled.all():
        return dataset
    index = np.flatnonzero(labelled)
    if not len(index):
        raise UserError(f"{dataset.name}: no training image has a label")
    return dataclasses.replace(dataset, train=subset(train, index))


def subset(split: Split, index: np.ndarray) -> Split:
    """The images of these numbers, in their order."""
    names = [split.names[i] for i in index] if split.names else ()
    if not isinstance(split.images, Streamed):
        return Split(split.images[index], split.labels[index], names)
    part = Part(split.images.records, split.labels).chosen(index)
    return Split(dataclasses.replace(split.images, records=part.records), part.labels, names)

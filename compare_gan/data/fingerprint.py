"""SHA-256 of images, and of a data set with its labels."""

import hashlib
import weakref

import numpy as np

from compare_gan.data.base import ImageDataset, Images

SAMPLED = 64
_KNOWN: dict[int, tuple[weakref.ref, str]] = {}  # by id, since arrays are not hashable


def fingerprint(images: Images) -> str:
    """SHA-256 of images [N, H, W, C] uint8, or of any array in memory. Cached per object.

    For images in memory, all pixels are hashed. Reading all streamed images would take as long as an epoch,
    so their shape and the pixels of 64 evenly spaced images are hashed instead.
    """
    reference, found = _KNOWN.get(id(images), (None, ""))
    if reference is None or reference() is not images:
        found = _sha256(images)
        _KNOWN[id(images)] = weakref.ref(images), found
    return found


def _sha256(images: Images) -> str:
    total = hashlib.sha256(repr(tuple(images.shape)).encode())
    in_memory = isinstance(images, np.ndarray)
    index = np.arange(len(images)) if in_memory else np.linspace(0, len(images) - 1, SAMPLED).astype(np.int64)
    for start in range(0, len(index), 1000):
        chunk = (
            images[index[start] : index[start] + 1000] if in_memory else images[index[start : start + 1000]]
        )
        total.update(np.ascontiguousarray(chunk).data)
    return total.hexdigest()


def nothing_held_out(dataset: ImageDataset) -> bool:
    """Whether the test images are the training images, as with `LoadOptions(holdout=0)`."""
    train, test = dataset.train.images, dataset.test.images
    return train.shape == test.shape and fingerprint(train) == fingerprint(test)


def dataset_sha256(dataset: ImageDataset) -> str:
    """SHA-256 of the images, labels and class names of both splits."""
    total = hashlib.sha256(repr(dataset.class_names).encode())
    for split in (dataset.train, dataset.test):
        total.update(f"{fingerprint(split.images)} {fingerprint(split.labels)}".encode())
    return total.hexdigest()

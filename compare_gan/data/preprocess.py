"""The image preprocessing of compare_gan, reproduced so that scores are comparable.

Functions map one image [H, W, C] uint8 to [h, w, C] float32 in [0, 1] unless stated otherwise. Bilinear
resizing is that of TensorFlow 1: no antialiasing, and output pixel i samples the input at i * H / h, off by
half a pixel. It is worse than the other resizes of `fit`, but published scores use it.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.registry import expose

LIB = "compare_gan.datasets"


def scaled(image: np.ndarray) -> np.ndarray:
    """Scales to [0, 1] without resizing: MNIST, Fashion-MNIST, CIFAR-10."""
    return image.astype(np.float32) / 255


def celeb_a(image: np.ndarray) -> np.ndarray:
    """Centre crop of 160 pixels, resized to 64."""
    return resized(scaled(crop_or_pad(image, 160)), 64)


def lsun(image: np.ndarray) -> np.ndarray:
    """Centre crop of 128 pixels."""
    return scaled(crop_or_pad(image, 128))


def imagenet(image: np.ndarray, size: int, crop_method: str, rng: np.random.Generator) -> np.ndarray:
    """Crop by one of `CROPS`, then resize to a square of this size."""
    return resized(scaled(CROPS[crop_method](image, rng)), size)


def resized(images: Any, size: int) -> Any:
    """Resizes a NumPy or JAX array [..., H, W, C] float32 to [..., size, size, C]."""
    return _interpolated(_interpolated(images, size, -3), size, -2)


def _interpolated(image: Any, size: int, axis: int) -> Any:
    length = image.shape[axis]
    position = np.arange(size, dtype=np.float32) * (np.float32(length) / np.float32(size))
    before = position.astype(np.int32)
    weight = (position - before.astype(np.float32)).reshape(size, *(1,) * (-1 - axis))
    low, high = image.take(before, axis), image.take(np.minimum(before + 1, length - 1), axis)
    return low + weight * (high - low)


def crop_or_pad(image: np.ndarray, size: int) -> np.ndarray:
    """Centre crop or zero padding to [size, size, C]. An odd margin is smaller at the top or left."""
    h, w, _ = image.shape
    top, left = max(h - size, 0) // 2, max(w - size, 0) // 2
    image = image[top : top + size, left : left + size]
    h, w, _ = image.shape
    above, before = (size - h) // 2, (size - w) // 2
    return np.pad(image, ((above, size - h - above), (before, size - w - before), (0, 0)))


def middle(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest centred square."""
    return crop_or_pad(image, min(image.shape[:2]))


def random(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest square at a random position."""
    return _square(image, min(image.shape[:2]), rng)


def distorted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random square of at least half the image area; the full image if no square is that large."""
    h, w, _ = image.shape
    min_side, max_side = math.ceil(math.sqrt(h * w / 2)), min(h, w)
    return image if min_side > max_side else _square(image, int(rng.integers(min_side, max_side + 1)), rng)


def _square(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    top, left = (int(rng.integers(length - size + 1)) for length in image.shape[:2])
    return image[top : top + size, left : left + size]


def zoomed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A centred square of random size and at least half the area of the largest, mirrored at random.

    For training images, as in the compare_gan fork of Zhao et al., https://arxiv.org/abs/2006.10738, which
    mirrors at random after every crop.
    """
    longest = min(image.shape[:2])
    shortest = math.ceil(longest / math.sqrt(2))
    image = crop_or_pad(image, int(rng.integers(shortest, longest + 1)))
    return image[:, ::-1] if rng.integers(2) else image


def uncropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The full image, of any aspect ratio."""
    return image


CROPS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "distorted": distorted,
    "random": random,
    "middle": middle,
    "zoomed": zoomed,
    "none": uncropped,
}
RANDOM_CROPS = ("distorted", "random", "zoomed")


@expose("train_imagenet_transform", module=LIB)
@dataclasses.dataclass(frozen=True)
class TrainImagenetTransform:
    """The crop of ImageNet training images: one of `CROPS`."""

    crop_method: str = "distorted"

    def __post_init__(self):
        _check("train_imagenet_transform", self.crop_method)


@expose("eval_imagenet_transform", module=LIB)
@dataclasses.dataclass(frozen=True)
class EvalImagenetTransform:
    """The crop of ImageNet images for evaluation: one of `CROPS`."""

    crop_method: str = "middle"

    def __post_init__(self):
        _check("eval_imagenet_transform", self.crop_method)


def _check(name: str, crop_method: str) -> None:
    if crop_method not in CROPS:
        raise UserError(f"{name}.crop_method is {crop_method!r}, use one of {', '.join(CROPS)}")

"""What compare_gan does to images before it sees them, so that scores can be compared.

Functions take one image [H, W, C] uint8 and return it [h, w, C] float32 in [0, 1], unless they say
otherwise. Bilinear resizing is that of TensorFlow 1: no antialiasing, and pixel i of the result is
at i * H / h, half a pixel off the centre. It is worse than `images.fit`, but its scores are known.
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
    """The image as it is: MNIST, Fashion-MNIST, CIFAR-10."""
    return image.astype(np.float32) / 255


def celeb_a(image: np.ndarray) -> np.ndarray:
    """The face, 160 pixels wide, resized to 64."""
    return resized(scaled(crop_or_pad(image, 160)), 64)


def lsun(image: np.ndarray) -> np.ndarray:
    """The middle, 128 pixels wide."""
    return scaled(crop_or_pad(image, 128))


def imagenet(image: np.ndarray, size: int, crop_method: str, rng: np.random.Generator) -> np.ndarray:
    """Cropped by one of `CROPS`, then resized to a square of this size."""
    return resized(scaled(CROPS[crop_method](image, rng)), size)


def resized(images: Any, size: int) -> Any:
    """[..., H, W, C] float32, of NumPy or of JAX, to [..., size, size, C]."""
    return _interpolated(_interpolated(images, size, -3), size, -2)


def _interpolated(image: Any, size: int, axis: int) -> Any:
    length = image.shape[axis]
    at = np.arange(size, dtype=np.float32) * (np.float32(length) / np.float32(size))
    before = at.astype(np.int32)
    share = (at - before.astype(np.float32)).reshape(size, *(1,) * (-1 - axis))
    low, high = image.take(before, axis), image.take(np.minimum(before + 1, length - 1), axis)
    return low + share * (high - low)


def crop_or_pad(image: np.ndarray, size: int) -> np.ndarray:
    """[H, W, C] to its middle [size, size, C]; what is missing is black. Odd margins are smaller first."""
    h, w, _ = image.shape
    top, left = max(h - size, 0) // 2, max(w - size, 0) // 2
    image = image[top : top + size, left : left + size]
    h, w, _ = image.shape
    above, before = (size - h) // 2, (size - w) // 2
    return np.pad(image, ((above, size - h - above), (before, size - w - before), (0, 0)))


def middle(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest square, at the centre."""
    return crop_or_pad(image, min(image.shape[:2]))


def random(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest square, anywhere."""
    return _square(image, min(image.shape[:2]), rng)


def distorted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square of at least half the image's area, anywhere; the whole image where none is that large."""
    h, w, _ = image.shape
    least, most = math.ceil(math.sqrt(h * w / 2)), min(h, w)
    return image if least > most else _square(image, int(rng.integers(least, most + 1)), rng)


def _square(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    top, left = (int(rng.integers(length - size + 1)) for length in image.shape[:2])
    return image[top : top + size, left : left + size]


def whole(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All of it, whatever its sides."""
    return image


CROPS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "distorted": distorted,
    "random": random,
    "middle": middle,
    "none": whole,
}


@expose("train_imagenet_transform", module=LIB)
@dataclasses.dataclass(frozen=True)
class TrainImagenetTransform:
    """How training images of ImageNet are cropped: one of `CROPS`."""

    crop_method: str = "distorted"

    def __post_init__(self):
        _check("train_imagenet_transform", self.crop_method)


@expose("eval_imagenet_transform", module=LIB)
@dataclasses.dataclass(frozen=True)
class EvalImagenetTransform:
    """How images of ImageNet are cropped for evaluation: one of `CROPS`."""

    crop_method: str = "middle"

    def __post_init__(self):
        _check("eval_imagenet_transform", self.crop_method)


def _check(name: str, crop_method: str) -> None:
    if crop_method not in CROPS:
        fork = ", which only the DiffAugment fork has; it is missing here" if crop_method == "zoomed" else ""
        raise UserError(f"{name}.crop_method is {crop_method!r}{fork}, use one of {', '.join(CROPS)}")

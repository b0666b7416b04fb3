"""From images to the input of a network, as the reference implementation of a score does it with Pillow.

Pillow antialiases, works with integers and rounds after each of two passes, so no other resize gives the same
numbers.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from PIL import Image

from compare_gan.core.types import Array
from compare_gan.data.base import Images

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of RGB in [0, 1]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """A resize with Pillow, then (x - mean) / std for x in [0, 1]."""

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    filter: Literal["bicubic", "bilinear"] = "bicubic"
    # What happens to images that are not square: both sides are resized to `side`; the central square is cut
    # out before; or the shorter side becomes `side`.
    fit: Literal["stretch", "crop", "shorter"] = "stretch"

    def normalise(self, images: Array) -> Array:
        """[B, H, W, 1 or 3] uint8 to [B, H, W, 3] float32; the channel of grey images is repeated."""
        x = jnp.broadcast_to(images.astype(jnp.float32) / 255, (*images.shape[:3], 3))
        return (x - jnp.asarray(self.mean, jnp.float32)) / jnp.asarray(self.std, jnp.float32)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of resized images."""
        if self.fit != "shorter":
            return self.side, self.side
        shorter = min(height, width)
        return self.side * height // shorter, self.side * width // shorter

    def resize(self, images: np.ndarray) -> np.ndarray:
        """[B, H, W, C] uint8 to [B, *size, C] uint8."""
        height, width, channels = images.shape[1:]
        if self.fit == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            images = images[:, top : top + side, left : left + side]
        size = self.size(height, width)
        resized = np.empty((len(images), *size, channels), np.uint8)
        for image, target in zip(images, resized, strict=True):
            picture = Image.fromarray(image if channels == 3 else image[..., 0])
            target[...] = np.asarray(picture.resize(size[::-1], FILTERS[self.filter])).reshape(target.shape)
        return resized


@dataclasses.dataclass(frozen=True, eq=False)
class Resized:
    """Images [N, H, W, 1 or 3], resized when they are read."""

    images: Images
    preprocessing: Preprocessing

    @property
    def shape(self) -> tuple[int, ...]:
        count, height, width, channels = self.images.shape
        return count, *self.preprocessing.size(height, width), channels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | np.ndarray, /) -> np.ndarray:
        return self.preprocessing.resize(self.images[index])

"""Crops and resizes stored images to square network inputs. Scores depend on the method, so it is named."""

import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.data import preprocess


def _by_pillow(method: Image.Resampling) -> Callable[[np.ndarray, int], np.ndarray]:
    def resize(image: np.ndarray, size: int) -> np.ndarray:
        pixels = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        return np.asarray(pixels.resize((size, size), method)).reshape(size, size, -1)

    return resize


def _bilinear_tf1(image: np.ndarray, size: int) -> np.ndarray:
    return np.rint(255 * preprocess.resized(preprocess.scaled(image), size)).astype(np.uint8)


# ([h, w, C] uint8, side) -> [side, side, C] uint8. Pillow's are antialiased; TensorFlow 1's is not.
RESIZES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "lanczos": _by_pillow(Image.Resampling.LANCZOS),
    "bicubic": _by_pillow(Image.Resampling.BICUBIC),
    "box": _by_pillow(Image.Resampling.BOX),
    "bilinear_tf1": _bilinear_tf1,
}


@dataclasses.dataclass(frozen=True)
class CropResize:
    """A crop, then a resize to a square. Without a size, images are unchanged.

    The result is rounded to 8 bits; compare_gan keeps the fractions of its bilinear resize, a difference of
    at most half a grey level.

    Raises:
      UserError: the size is not positive, or the crop or resize is unknown.
    """

    size: int | None = None
    crop: str | int = "middle"  # one of `preprocess.CROPS`; or the side of a centre crop, zero-padded
    resize: str = "lanczos"  # one of `RESIZES`

    def __post_init__(self):
        if self.size is not None and self.size < 1:
            raise UserError(f"image_size {self.size} is not positive")
        if isinstance(self.crop, str) and self.crop not in preprocess.CROPS:
            raise UserError(f"unknown crop {self.crop!r}{did_you_mean(self.crop, preprocess.CROPS)}")
        if self.resize not in RESIZES:
            raise UserError(f"unknown resize {self.resize!r}{did_you_mean(self.resize, RESIZES)}")

    @property
    def random(self) -> bool:
        """Whether the crop is random."""
        return self.size is not None and self.crop in preprocess.RANDOM_CROPS

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[h, w, C] uint8 -> [size, size, C] uint8."""
        if self.size is None:
            return image
        if isinstance(self.crop, str):
            image = preprocess.CROPS[self.crop](image, rng)
        else:
            image = preprocess.crop_or_pad(image, self.crop)
        return image if image.shape[:2] == (self.size,) * 2 else RESIZES[self.resize](image, self.size)

    def __str__(self) -> str:
        return "as stored" if self.size is None else f"crop {self.crop}, {self.resize} to {self.size}"

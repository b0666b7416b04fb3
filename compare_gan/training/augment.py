"""Random label-preserving image augmentation."""

import dataclasses

import jax
import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array
from compare_gan.nn.images import random_shift


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Augmentation of each image of a batch, in the order of the fields.

    Raises:
      UserError: a value out of range.
    """

    least_area: float = 1.0  # minimum area of a random crop, as a fraction; crops are resized to full size
    max_shift: int = 1  # pixels
    mirror: bool = False  # mirror left to right with probability 1/2; not for digits or letters
    color: float = 0.0  # maximum relative change of brightness, contrast and saturation
    cutout: int = 0  # side of a grey square: DeVries and Taylor, https://arxiv.org/abs/1708.04552

    def __post_init__(self):
        if not 0 < self.least_area <= 1:
            raise UserError(f"least_area is {self.least_area}; it must be in (0, 1]")
        if min(self.max_shift, self.color, self.cutout) < 0:
            raise UserError("max_shift, color and cutout must not be negative")

    def __call__(self, rng: Array, images: Array) -> Array:  # [B, H, W, C] in [0, 1]
        crop_rng, shift_rng, mirror_rng, color_rng, cutout_rng = jax.random.split(rng, 5)
        if self.least_area < 1:
            images = random_crop(crop_rng, images, self.least_area)
        images = random_shift(shift_rng, images, self.max_shift)
        if self.mirror:
            flip = jax.random.bernoulli(mirror_rng, shape=(len(images), 1, 1, 1))
            images = jnp.where(flip, images[:, :, ::-1], images)
        if self.color:
            images = random_color(color_rng, images, self.color)
        return random_cutout(cutout_rng, images, self.cutout) if self.cutout else images


def random_crop(rng: Array, images: Array, least_area: float) -> Array:
    """Random crops with relative area in [least_area, 1] and the same aspect ratio, resized to full size."""
    b, h, w, c = images.shape
    area_rng, offset_rng = jax.random.split(rng)
    zoom = jax.random.uniform(area_rng, (b, 1), minval=least_area) ** -0.5
    size = jnp.array([h, w], jnp.float32)
    offset = -jax.random.uniform(offset_rng, (b, 2)) * (zoom - 1) * size

    def one(x: Array, zoom: Array, offset: Array) -> Array:
        return jax.image.scale_and_translate(x, (h, w, c), (0, 1), zoom, offset, "linear", antialias=False)

    return jax.vmap(one)(images, jnp.repeat(zoom, 2, axis=1), offset)


def random_color(rng: Array, images: Array, max_change: float) -> Array:
    """Scales brightness, contrast and saturation by random factors in [1 - max_change, 1 + max_change]."""
    brightness, contrast, saturation = jax.random.uniform(
        rng, (3, len(images), 1, 1, 1), minval=1 - max_change, maxval=1 + max_change
    )
    return adjusted_color(images, brightness, contrast, saturation)


def adjusted_color(images: Array, brightness: Array, contrast: Array, saturation: Array) -> Array:
    """Scales brightness, contrast and saturation of images by factors [B, 1, 1, 1], in this order."""
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdims=True)
    images = mean + contrast * (images - mean)
    grey = images.mean(3, keepdims=True)
    return jnp.clip(grey + saturation * (images - grey), 0, 1)


def random_cutout(rng: Array, images: Array, side: int) -> Array:
    """Adds a grey square at a random position of each image, possibly clipped at the border."""
    b, h, w, _ = images.shape
    y_rng, x_rng = jax.random.split(rng)

    def inside(key: Array, length: int) -> Array:  # [B, length]
        first = jax.random.randint(key, (b, 1), 0, length) - side // 2
        position = jnp.arange(length)
        return (position >= first) & (position < first + side)

    hole = inside(y_rng, h)[:, :, None] & inside(x_rng, w)[:, None]
    return jnp.where(hole[..., None], 0.5, images)

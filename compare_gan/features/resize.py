"""Resizes images to the input size of a network. Scores depend on the method: Parmar et al.,
https://arxiv.org/abs/2104.11222.

Functions take images [B, H, W, C] float32 in [0, 255] and a side, and return [B, side, side, C].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array
from compare_gan.data import preprocess


def tf1(images: Array, side: int) -> Array:
    """Bilinear as in TensorFlow 1, see `data.preprocess`; used by most published scores."""
    return preprocess.resized(images, side)


def clean(images: Array, side: int) -> Array:
    """Bicubic, antialiased, without rounding to integers, as in clean-fid and Pillow."""
    shape = (len(images), side, side, images.shape[3])
    return jnp.clip(jax.image.resize(images, shape, "cubic", antialias=True), 0, 255)


RESIZES: dict[str, Callable[[Array, int], Array]] = {"tf1": tf1, "clean": clean}

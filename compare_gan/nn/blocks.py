"""The residual block of compare_gan's ResNets, for generators and discriminators alike."""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Cond
from compare_gan.nn.layers import Conv
from compare_gan.nn.norms import CondDims, LayerNorm
from compare_gan.nn.options import Layers

Scale = Literal["up", "down", "none"]


def unpool(x: Array) -> Array:
    """[B, H, W, C] -> [B, 2H, 2W, C]: each value at the top left of a square of zeros."""
    b, h, w, c = x.shape
    zeros = jnp.zeros_like(x)
    rows = jnp.stack([x, zeros], 3).reshape(b, h, 2 * w, c)
    return jnp.stack([rows, jnp.zeros_like(rows)], 2).reshape(b, 2 * h, 2 * w, c)


def average_pool(x: Array) -> Array:
    """[B, H, W, C] -> [B, H/2, W/2, C]: mean of each square of four."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def make_norm(
    factory: Callable[..., Any] | None, features: int, dims: CondDims, **options
) -> nnx.Module | None:
    """The norm that a configuration names, or None."""
    return None if factory is None else factory(features, dims, **options)


def activate(x: Array, norm: Any, cond: Cond, layer_norm: LayerNorm | None = None) -> Array:
    """The norms that are there, then relu."""
    x = x if norm is None else norm(x, cond)
    return nnx.relu(x if layer_norm is None else layer_norm(x))


class ResNetBlock(nnx.Module):
    """norm, relu, conv, norm, relu, conv, beside a convolution as shortcut.

    "up" doubles the image before the first convolution, "down" halves it after the second.
    As in compare_gan the image is doubled by inserting zeros, and the shortcut is always a
    3x3 convolution of the block's raw input.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        scale: Scale,
        *,
        batch_norm_fn: Callable[..., Any] | None,
        dims: CondDims = CondDims(),
        layer_norm: bool = False,
        layers: Layers,
        spectral_norm: bool,
        rngs: nnx.Rngs,
    ):
        shared: dict[str, Any] = dict(layers=layers, spectral_norm=spectral_norm, rngs=rngs)
        self.scale = scale
        self.shortcut = Conv(c_in, c_out, **shared)
        self.bn1 = make_norm(batch_norm_fn, c_in, dims, **shared)
        self.ln1 = LayerNorm(c_in) if layer_norm else None
        self.conv1 = Conv(c_in, c_out, **shared)
        self.bn2 = make_norm(batch_norm_fn, c_out, dims, **shared)
        self.ln2 = LayerNorm(c_out) if layer_norm else None
        self.conv2 = Conv(c_out, c_out, **shared)

    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H', W', c_out]
        up = unpool if self.scale == "up" else lambda x: x
        down = average_pool if self.scale == "down" else lambda x: x
        h = self.conv1(up(activate(x, self.bn1, cond, self.ln1)), train=cond.train)
        h = down(self.conv2(activate(h, self.bn2, cond, self.ln2), train=cond.train))
        return h + down(self.shortcut(up(x), train=cond.train))

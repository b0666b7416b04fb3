"""What compare_gan's ResNets are made of: the residual block, and whole networks of such blocks."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.layers import Conv, Linear
from compare_gan.nn.norms import CondDims, LayerNorm
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers
from compare_gan.nn.remat import rematerialised
from compare_gan.nn.rescale import Scale


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
        self.shortcut = Conv(c_in, c_out, scale=scale, **shared)
        self.bn1 = make_norm(batch_norm_fn, c_in, dims, **shared)
        self.ln1 = LayerNorm(c_in) if layer_norm else None
        self.conv1 = Conv(c_in, c_out, scale="up" if scale == "up" else "none", **shared)
        self.bn2 = make_norm(batch_norm_fn, c_out, dims, **shared)
        self.ln2 = LayerNorm(c_out) if layer_norm else None
        self.conv2 = Conv(c_out, c_out, scale="down" if scale == "down" else "none", **shared)

    @rematerialised
    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H', W', c_out]
        h = self.conv1(activate(x, self.bn1, cond, self.ln1), train=cond.train)
        h = self.conv2(activate(h, self.bn2, cond, self.ln2), train=cond.train)
        return h + self.shortcut(x, train=cond.train)


def resnet_blocks(widths: Sequence[int], scales: Iterable[Scale], **options: Any) -> nnx.List:
    """Blocks one after the other, each from one width to the next."""
    return nnx.List(
        [
            ResNetBlock(c_in, c_out, scale, **options)
            for (c_in, c_out), scale in zip(pairwise(widths), scales, strict=True)
        ]
    )


def check_side(architecture: str, spec: ImageSpec, sides: Sequence[int]) -> None:
    """Refuses images that are not squares of one of these sides.

    Raises:
      UserError: they are not.
    """
    h, w = spec.image_shape[:2]
    if h != w or h not in sides:
        *others, last = (f"{side}x{side}" for side in sides)
        able = f"{', '.join(others)} or {last}" if others else last
        raise UserError(
            f"{architecture} makes {able} images, the data set has {h}x{w}; "
            "resize them with --image_size, or choose another options.architecture"
        )


class ResNetGenerator(nnx.Module):
    """A linear layer to the smallest image, blocks, norm, relu, convolution, sigmoid.

    An architecture is a subclass that says no more than how large and how wide. As in
    compare_gan G.spectral_norm reaches the blocks and the norms, not the first and last layer.
    """

    def __init__(
        self,
        spec: ImageSpec,
        z_dim: int,
        y_dim: int,
        *,
        side: int,
        widths: Sequence[int],
        scales: Iterable[Scale],
        options: GeneratorOptions,
        layers: Layers,
        rngs: nnx.Rngs,
    ):
        dims = CondDims(z_dim, y_dim)
        plain: dict[str, Any] = dict(layers=layers, rngs=rngs)
        shared = plain | dict(spectral_norm=options.spectral_norm)
        self.shape = (side, side, widths[0])
        self.fc_noise = Linear(z_dim, side * side * widths[0], **plain)
        self.blocks = resnet_blocks(widths, scales, batch_norm_fn=options.batch_norm_fn, dims=dims, **shared)
        self.final_norm = make_norm(options.batch_norm_fn, widths[-1], dims, **shared)
        self.final_conv = Conv(widths[-1], spec.image_shape[-1], **plain)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        x = self.fc_noise(cond.z, train=cond.train).reshape(-1, *self.shape)
        for block in self.blocks:
            x = block(x, cond)
        x = self.final_conv(activate(x, self.final_norm, cond), train=cond.train)
        return nnx.sigmoid(x.astype(jnp.float32))


class ResNetDiscriminator(nnx.Module):
    """Blocks, the first of which takes the colours; relu; mean over the image; one linear layer.

    An architecture is a subclass that says no more than how large and how wide.
    """

    def __init__(
        self,
        spec: ImageSpec,
        y_dim: int,
        *,
        widths: Sequence[int],
        scales: Iterable[Scale],
        options: DiscriminatorOptions,
        layers: Layers,
        rngs: nnx.Rngs,
    ):
        shared: dict[str, Any] = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        blocks = shared | dict(
            batch_norm_fn=options.batch_norm_fn, layer_norm=options.layer_norm, dims=CondDims(0, y_dim)
        )
        self.color_block = ResNetBlock(spec.image_shape[-1], widths[0], "down", **blocks)
        self.blocks = resnet_blocks(widths, scales, **blocks)
        self.feature_dim = widths[-1]
        self.final_fc = Linear(widths[-1], 1, **shared)

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for block in (self.color_block, *self.blocks):
            x = block(x, cond)
        features = nnx.relu(x).mean((1, 2), jnp.float32)
        return DiscriminatorOut(self.final_fc(features, train=cond.train)[:, 0], features, {})

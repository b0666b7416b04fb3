"""Residual blocks of compare_gan's ResNets, and the networks built from them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec, Norm
from compare_gan.nn.heads import scored
from compare_gan.nn.layers import Conv, LayerFactory
from compare_gan.nn.networks import NetSpec, Stage
from compare_gan.nn.norms import LayerNorm
from compare_gan.nn.remat import maybe_remat
from compare_gan.nn.rescale import Scale, of_ends


def activate(x: Array, norm: Norm | None, cond: Cond, layer_norm: LayerNorm | None = None) -> Array:
    """Applies the norms that are not None, then relu."""
    x = x if norm is None else norm(x, cond)
    return nnx.relu(x if layer_norm is None else layer_norm(x))


class ResidualBlock(nnx.Module):
    """norm, relu, conv, norm, relu, conv; plus a shortcut unless that is None.

    "up" doubles the image before the first convolution, "down" halves it after the second. A subclass
    sets the shortcut, before or after `super().__init__`: weights are drawn in the order in which layers are
    created.
    """

    shortcut: Conv | None

    def __init__(self, make: LayerFactory, c_in: int, c_out: int, scale: Scale):
        first, last = of_ends(scale)
        self.bn1 = make.norm(c_in)
        self.ln1 = LayerNorm(c_in) if make.layer_norm else None
        self.conv1 = make.conv(c_in, c_out, scale=first)
        self.bn2 = make.norm(c_out)
        self.ln2 = LayerNorm(c_out) if make.layer_norm else None
        self.conv2 = make.conv(c_out, c_out, scale=last)

    @maybe_remat
    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H', W', c_out]
        h = self.conv1(activate(x, self.bn1, cond, self.ln1), train=cond.train)
        h = self.conv2(activate(h, self.bn2, cond, self.ln2), train=cond.train)
        return h if self.shortcut is None else h + self.shortcut(x, train=cond.train)


class ResNetBlock(ResidualBlock):
    """The block of compare_gan's ResNets, whose shortcut is always a 3x3 convolution.

    As in compare_gan the image is doubled by inserting zeros.
    """

    def __init__(self, make: LayerFactory, c_in: int, c_out: int, scale: Scale):
        self.shortcut = make.conv(c_in, c_out, scale=scale)
        super().__init__(make, c_in, c_out, scale)


def resnet_blocks(make: LayerFactory, widths: Sequence[int], scales: Iterable[Scale]) -> nnx.List:
    """A sequence of blocks; block i maps widths[i] to widths[i + 1] channels."""
    return nnx.List(
        [
            ResNetBlock(make, c_in, c_out, scale)
            for (c_in, c_out), scale in zip(pairwise(widths), scales, strict=True)
        ]
    )


def check_side(architecture: str, spec: ImageSpec, sides: Sequence[int]) -> None:
    """Checks that images are squares of one of the side lengths `sides`.

    Raises:
      UserError: they are not.
    """
    h, w = spec.image_shape[:2]
    if h != w or h not in sides:
        *others, last = (f"{side}x{side}" for side in sides)
        supported = f"{', '.join(others)} or {last}" if others else last
        raise UserError(
            f"{architecture} makes {supported} images, the data set has {h}x{w}; "
            "resize them with --image_size, or choose another options.architecture"
        )


class ResNetGenerator(nnx.Module):
    """A linear layer to the smallest image, blocks, norm, relu, convolution, sigmoid.

    A subclass defines an architecture by its size and widths. As in compare_gan `G.spectral_norm` applies to
    the blocks and the norms, not to the first and last layer.
    """

    def __init__(
        self, net: NetSpec, *, side: int, widths: Sequence[int], scales: Iterable[Scale], rngs: nnx.Rngs
    ):
        make = net.factory(rngs)
        self.shape = (side, side, widths[0])
        self.fc_noise = make.plain.linear(net.z_dim, side * side * widths[0])
        self.blocks = resnet_blocks(make, widths, scales)
        self.final_norm = make.norm(widths[-1])
        self.final_conv = make.plain.conv(widths[-1], net.colors)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        x = self.fc_noise(cond.z, train=cond.train).reshape(-1, *self.shape)
        for block in self.blocks:
            x = block(x, cond)
        x = self.final_conv(activate(x, self.final_norm, cond), train=cond.train)
        return nnx.sigmoid(x.astype(jnp.float32))


class ResNetDiscriminator(nnx.Module):
    """Blocks, the first of which takes the image; relu; mean over the positions; one linear layer.

    A subclass defines an architecture by its widths and scales.
    """

    projects_labels = False

    def __init__(self, net: NetSpec, *, widths: Sequence[int], scales: Iterable[Scale], rngs: nnx.Rngs):
        make = net.factory(rngs)
        self.color_block = ResNetBlock(make, net.colors, widths[0], "down")
        self.blocks = resnet_blocks(make, widths, scales)
        self.feature_dim = widths[-1]
        self.final_fc = make.linear(widths[-1], 1)

    @property
    def stages(self) -> list[Stage]:
        return [(block,) for block in (self.color_block, *self.blocks)]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for block in (self.color_block, *self.blocks):
            x = block(x, cond)
        return scored(nnx.relu(x).mean((1, 2), jnp.float32), cond, self.final_fc)

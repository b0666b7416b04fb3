"""R3GAN: Huang et al., https://arxiv.org/abs/2501.05441, for images of 8, 16, 32, ... pixels a side.

Residual networks of grouped convolutions without normalization, so `G.batch_norm_fn` and `D.batch_norm_fn`
have no effect. Images are in [0, 1] here and in [-1, 1] in the paper, so that a gradient penalty with a
quarter of their gamma is theirs. The generator ends without a nonlinearity: in training, values may lie
outside [0, 1]; otherwise they are clipped, as the authors do when they save images.
"""

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import check_side
from compare_gan.nn.heads import label_projection
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.networks import NetSpec, Stage, register_pair
from compare_gan.nn.remat import maybe_remat
from compare_gan.nn.rescale import smooth_down, smooth_up

SMALLEST = 4  # side of the first stage of the generator and the last of the discriminator
SLOPE = 0.2  # of leaky relu below zero
GAIN = math.sqrt(2 / (1 + SLOPE**2))


def widths(spec: ImageSpec, ch: int, divisors: tuple[int, ...]) -> list[int]:
    """Channels of each stage, from the smallest images to the full size.

    Raises:
      UserError: the side of the images is not 8, 16, 32, ..., or `divisors` do not fit the stages.
    """
    check_side("r3gan_arch", spec, [SMALLEST * 2**i for i in range(1, 9)])
    stages = int(math.log2(spec.image_shape[0] // SMALLEST)) + 1
    divisors = divisors or (1,) * stages
    if len(divisors) != stages or any(ch % divisor for divisor in divisors):
        raise UserError(
            f"r3gan: divisors are {divisors}; there must be {stages} for images of this size, "
            f"and all must divide ch, {ch}"
        )
    return [ch // divisor for divisor in divisors]


def scaled_by(gain: float) -> Callable[..., Array]:
    """The initialiser of He et al., https://arxiv.org/abs/1502.01852, with a factor."""
    return nnx.initializers.variance_scaling(gain**2, "fan_in", "normal")


class ResidualBlock(nnx.Module):
    """1x1 convolution to `expansion` times the width, grouped 3x3, 1x1 back; leaky relu between them.

    `blocks` of the whole network scale the initial weights as in Fixup (Zhang et al.,
    https://arxiv.org/abs/1901.09321). The last convolution begins at zero, so it has no spectral norm.
    """

    def __init__(self, make: LayerFactory, width: int, *, expansion: int, group_width: int, blocks: int):
        wide = expansion * width
        groups = max(wide // group_width, 1)
        if wide % groups:
            raise UserError(
                f"r3gan: group_width is {group_width}; it must divide {wide}, the channels of a block"
            )
        inner = dataclasses.replace(make, initializer=scaled_by(GAIN * blocks**-0.25))
        zero = dataclasses.replace(make.plain, initializer=nnx.initializers.zeros)
        self.conv1 = inner.conv(width, wide, size=1)
        self.conv2 = inner.conv(wide, wide, groups=groups)
        self.conv3 = zero.conv(wide, width, size=1, bias=None)

    @maybe_remat
    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, width] -> the same
        h = nnx.leaky_relu(self.conv1(x, train=cond.train), SLOPE)
        h = nnx.leaky_relu(self.conv2(h, train=cond.train), SLOPE)
        return x + self.conv3(h, train=cond.train)


class Transition(nnx.Module):
    """Doubles ("up") or halves ("down") the image; a 1x1 convolution of the smaller one changes the width."""

    def __init__(self, make: LayerFactory, c_in: int, c_out: int, scale: Literal["up", "down"]):
        self.scale = scale
        self.conv = None if c_in == c_out else make.conv(c_in, c_out, size=1, bias=None)

    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H', W', c_out]
        x = smooth_down(x) if self.scale == "down" else x
        x = x if self.conv is None else self.conv(x, train=cond.train)
        return smooth_up(x) if self.scale == "up" else x


class Trunk(nnx.Module):
    """Stages of residual blocks with transitions between them; `settings` are those of a block."""

    def __init__(
        self,
        make: LayerFactory,
        widths: list[int],
        scale: Literal["up", "down"],
        blocks: int,
        **settings: int,
    ):
        def stage(width: int) -> nnx.List:
            total = blocks * len(widths)
            return nnx.List([ResidualBlock(make, width, blocks=total, **settings) for _ in range(blocks)])

        self.stages = nnx.List([stage(width) for width in widths])
        self.transitions = nnx.List([Transition(make, a, b, scale) for a, b in pairwise(widths)])

    def __call__(self, x: Array, cond: Cond) -> Array:
        for transition, stage in zip([None, *self.transitions], self.stages, strict=True):
            x = x if transition is None else transition(x, cond)
            for block in stage:
                x = block(x, cond)
        return x


class Generator(nnx.Module):
    """A learned 4x4 basis, scaled by a linear function of z and label; then stages that double the image.

    Args:
      net: shapes of images and inputs.
      ch: width of the stages.
      divisors: of the width of each stage, from 4x4 to the full size; () is 1 for all.
      blocks: residual blocks of a stage.
      expansion: width inside a block, as a multiple of that of the stage.
      group_width: channels of a group of the 3x3 convolutions.
      embed_y_dim: length of the embedding of the label, which is appended to z.
      rngs: draws the initial weights.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 768,
        divisors: tuple[int, ...] = (),
        blocks: int = 2,
        expansion: int = 2,
        group_width: int = 16,
        embed_y_dim: int = 64,
        rngs: nnx.Rngs,
    ):
        channels = widths(net.image, ch, divisors)
        make = dataclasses.replace(net.factory(rngs), initializer=scaled_by(1.0))
        self.embed_y = make.plain.linear(net.y_dim, embed_y_dim, bias=None) if net.y_dim else None
        inputs = net.z_dim + (embed_y_dim if net.y_dim else 0)
        self.basis = nnx.Param(jax.random.normal(rngs.params(), (SMALLEST, SMALLEST, channels[0])))
        self.fc_noise = make.linear(inputs, channels[0], bias=None)
        self.trunk = Trunk(make, channels, "up", blocks, expansion=expansion, group_width=group_width)
        self.final_conv = make.conv(channels[-1], net.colors, size=1, bias=None)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C], in [0, 1] unless in training
        z = cond.z
        if self.embed_y is not None:
            z = jnp.concatenate([z, self.embed_y(cond.y, train=cond.train)], 1)
        x = self.basis[...] * self.fc_noise(z, train=cond.train)[:, None, None]
        x = self.final_conv(self.trunk(x, cond), train=cond.train).astype(jnp.float32)
        images = 0.5 * x + 0.5
        return images if cond.train else jnp.clip(images, 0, 1)


class Discriminator(nnx.Module):
    """The generator in reverse: stages that halve the image; the inner product with a 4x4 basis; linear.

    With `project_y` the logit is the inner product of the last layer's output, of length `ch`, with an
    embedding of the label. Other arguments are those of the generator; `divisors` also go from 4x4 to the
    full size.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 768,
        divisors: tuple[int, ...] = (),
        blocks: int = 2,
        expansion: int = 2,
        group_width: int = 16,
        project_y: bool = False,
        rngs: nnx.Rngs,
    ):
        channels = widths(net.image, ch, divisors)[::-1]
        make = dataclasses.replace(net.factory(rngs), initializer=scaled_by(1.0))
        self.from_image = make.conv(net.colors, channels[0], size=1, bias=None)
        self.trunk = Trunk(make, channels, "down", blocks, expansion=expansion, group_width=group_width)
        draw = nnx.initializers.normal(1 / SMALLEST)
        self.basis = nnx.Param(draw(rngs.params(), (SMALLEST, SMALLEST, channels[-1])))
        self.final_fc = make.linear(channels[-1], ch if project_y else 1, bias=None)
        self.embedding_fc = (
            label_projection(make, ch, owner="r3gan.Discriminator", initializer=scaled_by(ch**-0.5))
            if project_y
            else None
        )
        self.feature_dim, self.projects_labels = channels[-1], project_y

    @property
    def stages(self) -> list[Stage]:
        return list(zip([self.from_image, *self.trunk.transitions], self.trunk.stages, strict=True))

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        x = self.trunk(self.from_image(2 * x - 1, train=cond.train), cond)
        features = jnp.sum(x.astype(jnp.float32) * self.basis[...], (1, 2))
        last = self.final_fc(features, train=cond.train)
        if self.embedding_fc is None:
            return DiscriminatorOut(last[:, 0], features, {})
        return DiscriminatorOut(self.embedding_fc.score(cond.y, last, train=cond.train), features, {})


register_pair("r3gan_arch", Generator, Discriminator, module="compare_gan.architectures.r3gan")

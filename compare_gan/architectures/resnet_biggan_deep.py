"""BigGAN-deep of Brock et al., https://arxiv.org/abs/1809.11096, appendix B, for 32 to 512 pixels a side.

As in compare_gan it differs from the paper: images are doubled by inserting zeros, the
scale of a conditional batch norm is not offset by one, and images are in [0, 1] on both sides.
"""

import math
from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Cond, DiscriminatorOut
from compare_gan.nn.attention import NonLocalBlock
from compare_gan.nn.biggan_blocks import ProjectionHead, ToImage, widths
from compare_gan.nn.blocks import activate
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.networks import NetSpec, Stage, register_pair
from compare_gan.nn.options import CondDims
from compare_gan.nn.remat import maybe_remat
from compare_gan.nn.rescale import Scale, of_ends, rescaled

# Widths as multiples of `ch`, by the side of the image: input of the first block, then output of each block.
GENERATOR = {
    32: (4, 4, 4, 4, 4, 4, 4, 4),
    64: (16, 16, 16, 16, 8, 8, 4, 4, 2),
    128: (16, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1),
    256: (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1),
    512: (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1, 1, 1),
}
DISCRIMINATOR = {
    32: (2, 2, 2, 2, 2, 2, 2, 2),
    64: (2, 4, 4, 8, 8, 16, 16, 16, 16),
    128: (1, 2, 2, 4, 4, 8, 8, 16, 16, 16, 16),
    256: (1, 2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16),
    512: (1, 1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16),
}
ATTENTION_SIDE = 64


class NormConv(nnx.Module):
    """norm, relu, then a convolution; "up" doubles the image before it, "down" halves it after."""

    def __init__(self, make: LayerFactory, c_in: int, c_out: int, size: int, scale: Scale = "none"):
        self.norm = make.norm(c_in)
        self.conv = make.conv(c_in, c_out, size=size, scale=scale)

    def __call__(self, x: Array, cond: Cond) -> Array:
        return self.conv(activate(x, self.norm, cond), train=cond.train)


class Block(nnx.Module):
    """A bottleneck: 1x1, 3x3, 3x3 and 1x1 convolution at a quarter of the width.

    The shortcut has no weights, except for a 1x1 convolution that adds channels if the width grows. If it
    shrinks, the shortcut drops channels.
    """

    def __init__(self, make: LayerFactory, c_in: int, c_out: int, scale: Scale):
        narrow = max(c_in // 4, c_out // 4, 1)
        first, last = of_ends(scale)
        self.scale, self.c_out = scale, c_out
        self.conv1 = NormConv(make, c_in, narrow, 1)
        self.conv2 = NormConv(make, narrow, narrow, 3, first)
        self.conv3 = NormConv(make, narrow, narrow, 3)
        self.conv4 = NormConv(make, narrow, c_out, 1, last)
        self.add_channels = make.conv(c_in, c_out - c_in, size=1) if c_in < c_out else None

    @maybe_remat
    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H', W', c_out]
        h = self.conv4(self.conv3(self.conv2(self.conv1(x, cond), cond), cond), cond)
        x = rescaled(x[..., : self.c_out], self.scale)
        if self.add_channels is not None:
            x = jnp.concatenate([x, self.add_channels(x, train=cond.train)], -1)
        return h + x


class Trunk(nnx.Module):
    """Pairs of blocks; `scales` are the scales of the first and second block of a pair.

    After `pairs` pairs the image is 64x64 and self-attention is applied, if there are that many pairs.
    """

    def __init__(
        self, make: LayerFactory, channels: tuple[int, ...], scales: tuple[Scale, Scale], pairs: int
    ):
        self.blocks = nnx.List(
            [Block(make, c_in, c_out, scales[i % 2]) for i, (c_in, c_out) in enumerate(pairwise(channels))]
        )
        self.before = 2 * pairs
        there = 0 < self.before < len(channels)
        self.attention = NonLocalBlock(make, channels[self.before]) if there else None

    @property
    def stages(self) -> list[Stage]:
        return [(b, self.attention if i == self.before else None) for i, b in enumerate(self.blocks, 1)]

    def __call__(self, x: Array, cond: Cond) -> Array:
        for i, block in enumerate(self.blocks, 1):
            x = block(x, cond)
            if self.attention is not None and i == self.before:
                x = self.attention(x, train=cond.train)
        return x


class Generator(nnx.Module):
    """4x4, then pairs of blocks, the second of which doubles the image.

    z and the label together go into the first layer and condition every block; `embed_y` passes
    the label through a linear layer first. Without labels `embed_y` does nothing.
    `experimental_fast_conv_to_rgb` makes the last convolution 128 channels wide, the first of which are the
    image.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 128,
        embed_y: bool = True,
        embed_y_dim: int = 128,
        experimental_fast_conv_to_rgb: bool = False,
        rngs: nnx.Rngs,
    ):
        channels = widths("resnet_biggan_deep_arch", net.image, GENERATOR, ch)
        make = net.factory(rngs)
        embed_y = embed_y and net.y_dim > 0
        self.embed_y = make.plain.linear(net.y_dim, embed_y_dim, bias=None) if embed_y else None
        both = net.z_dim + (embed_y_dim if embed_y else net.y_dim)
        make = make.conditioned(CondDims(both, both if net.y_dim else 0))
        self.first_shape = (4, 4, channels[0])
        self.fc_noise = make.linear(both, 4 * 4 * channels[0])
        self.trunk = Trunk(make, channels, ("none", "up"), int(math.log2(ATTENTION_SIDE / 4)))
        computed = 128 if experimental_fast_conv_to_rgb else None
        self.to_image = ToImage(make, channels[-1], net.colors, computed=computed)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        if self.embed_y is not None:
            cond = cond._replace(y=self.embed_y(cond.y, train=cond.train))
        if cond.y is not None:
            both = jnp.concatenate([cond.z, cond.y], 1)
            cond = cond._replace(z=both, y=both)
        x = self.fc_noise(cond.z, train=cond.train).reshape(-1, *self.first_shape)
        return self.to_image(self.trunk(x, cond), cond)


class Discriminator(nnx.Module):
    """A convolution, then pairs of blocks, the first of which halves the image; sum; one linear layer.

    With `project_y` the label enters as an inner product with the features.
    `blocks_with_attention` and `D.layer_norm` are accepted, as in compare_gan, but have no effect: attention
    is at 64x64.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 128,
        blocks_with_attention: str = "B1",
        project_y: bool = True,
        rngs: nnx.Rngs,
    ):
        del blocks_with_attention
        channels = widths("resnet_biggan_deep_arch", net.image, DISCRIMINATOR, ch)
        make, owner = net.factory(rngs), "resnet_biggan_deep.Discriminator"
        pairs = int(math.log2(net.image.image_shape[0] / ATTENTION_SIDE))
        self.initial_conv = make.conv(net.colors, channels[0])
        self.trunk = Trunk(make, channels, ("down", "none"), pairs)
        self.head = ProjectionHead(make, channels[-1], project_y=project_y, owner=owner)
        self.feature_dim, self.projects_labels = channels[-1], project_y

    @property
    def stages(self) -> list[Stage]:
        first, *others = self.trunk.stages
        return [(self.initial_conv, *first), *others]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        return self.head(self.trunk(self.initial_conv(x, train=cond.train), cond), cond)


register_pair(
    "resnet_biggan_deep_arch",
    Generator,
    Discriminator,
    module="compare_gan.architectures.resnet_biggan_deep",
)

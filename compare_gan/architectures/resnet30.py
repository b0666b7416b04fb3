"""A very deep ResNet for 128x128 images, after Gulrajani et al., https://arxiv.org/abs/1704.00028.

As in compare_gan: six groups of five blocks that keep the size, one block that changes it between
two groups; images are doubled by inserting zeros, every shortcut is a 3x3 convolution, and there is no norm
or activation between the last block and the last layer of either network.
"""

from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Cond, DiscriminatorOut
from compare_gan.nn.blocks import check_side, resnet_blocks
from compare_gan.nn.heads import scored
from compare_gan.nn.networks import NetSpec, Stage, register_pair
from compare_gan.nn.rescale import Scale

GROUPS, BLOCKS, SMALLEST = 6, 5, 4


def widths(ch: int) -> list[int]:
    """The width before the first block and after each, growing from `ch`."""
    return [ch * 2**group for group in range(GROUPS) for _ in range(BLOCKS + 1)]


def scales(widths: list[int], between: Scale) -> list[Scale]:
    """The scale of each block: blocks that change the width also change the size."""
    return [between if c_in != c_out else "none" for c_in, c_out in pairwise(widths)]


class Generator(nnx.Module):
    """4x4, then the blocks; the width falls to `ch` as the image grows.

    `G.spectral_norm` applies to the blocks, not to the first and last layer.
    """

    def __init__(self, net: NetSpec, *, ch: int = 16, rngs: nnx.Rngs):
        check_side("resnet30_arch", net.image, [128])
        make = net.factory(rngs)
        falling = widths(ch)[::-1]
        self.shape = (SMALLEST, SMALLEST, falling[0])
        self.fc_noise = make.plain.linear(net.z_dim, SMALLEST**2 * falling[0])
        self.blocks = resnet_blocks(make, falling, scales(falling, "up"))
        self.final_conv = make.plain.conv(ch, net.colors)

    def __call__(self, cond: Cond) -> Array:  # -> [B, 128, 128, C] in [0, 1]
        x = self.fc_noise(cond.z, train=cond.train).reshape(-1, *self.shape)
        for block in self.blocks:
            x = block(x, cond)
        return nnx.sigmoid(self.final_conv(x, train=cond.train).astype(jnp.float32))


class Discriminator(nnx.Module):
    """A convolution, the blocks, and one linear layer on the flattened output.

    `D.spectral_norm` does not apply to the first convolution.
    """

    projects_labels = False

    def __init__(self, net: NetSpec, *, ch: int = 16, rngs: nnx.Rngs):
        check_side("resnet30_arch", net.image, [128])
        make = net.factory(rngs)
        rising = widths(ch)
        self.color_conv = make.plain.conv(net.colors, ch)
        self.blocks = resnet_blocks(make, rising, scales(rising, "down"))
        self.feature_dim = SMALLEST**2 * rising[-1]
        self.final_fc = make.linear(self.feature_dim, 1)

    @property
    def stages(self) -> list[Stage]:
        return [(self.color_conv, self.blocks[0]), *((block,) for block in self.blocks[1:])]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        x = self.color_conv(x, train=cond.train)
        for block in self.blocks:
            x = block(x, cond)
        return scored(x.reshape(x.shape[0], -1).astype(jnp.float32), cond, self.final_fc)


register_pair("resnet30_arch", Generator, Discriminator, module="compare_gan.architectures.resnet30")

"""A very deep ResNet for 128x128 images, after Gulrajani et al., https://arxiv.org/abs/1704.00028.

As in compare_gan: six groups of five blocks that keep the size, one block that changes it between
two groups; images are doubled by inserting zeros, every shortcut is a 3x3 convolution, and nothing
comes between the last block and the last layer on either side.
"""

from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.registry import register_pair
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import check_side, resnet_blocks
from compare_gan.nn.layers import Conv, Linear
from compare_gan.nn.norms import CondDims
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers
from compare_gan.nn.rescale import Scale

GROUPS, BLOCKS, SMALLEST = 6, 5, 4


def widths(ch: int) -> list[int]:
    """The width before the first block and after each, growing from `ch`."""
    return [ch * 2**group for group in range(GROUPS) for _ in range(BLOCKS + 1)]


def scales(widths: list[int], between: Scale) -> list[Scale]:
    """What each block does to the size: those that change the width change it too."""
    return [between if c_in != c_out else "none" for c_in, c_out in pairwise(widths)]


class Generator(nnx.Module):
    """4x4, then the blocks; the width falls to `ch` as the image grows.

    G.spectral_norm reaches the blocks, not the first and last layer.
    """

    def __init__(
        self,
        spec: ImageSpec,
        z_dim: int,
        y_dim: int,
        *,
        options: GeneratorOptions,
        layers: Layers,
        ch: int = 16,
        rngs: nnx.Rngs,
    ):
        check_side("resnet30_arch", spec, [128])
        falling = widths(ch)[::-1]
        self.shape = (SMALLEST, SMALLEST, falling[0])
        self.fc_noise = Linear(z_dim, SMALLEST**2 * falling[0], layers=layers, rngs=rngs)
        self.blocks = resnet_blocks(
            falling,
            scales(falling, "up"),
            batch_norm_fn=options.batch_norm_fn,
            dims=CondDims(z_dim, y_dim),
            layers=layers,
            spectral_norm=options.spectral_norm,
            rngs=rngs,
        )
        self.final_conv = Conv(ch, spec.image_shape[-1], layers=layers, rngs=rngs)

    def __call__(self, cond: Cond) -> Array:  # -> [B, 128, 128, C] in [0, 1]
        x = self.fc_noise(cond.z, train=cond.train).reshape(-1, *self.shape)
        for block in self.blocks:
            x = block(x, cond)
        return nnx.sigmoid(self.final_conv(x, train=cond.train).astype(jnp.float32))


class Discriminator(nnx.Module):
    """A convolution on the colours, the blocks, one linear layer on all of the last one's outputs.

    D.spectral_norm does not reach the first convolution.
    """

    def __init__(
        self,
        spec: ImageSpec,
        y_dim: int,
        *,
        options: DiscriminatorOptions,
        layers: Layers,
        ch: int = 16,
        rngs: nnx.Rngs,
    ):
        check_side("resnet30_arch", spec, [128])
        rising = widths(ch)
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        self.color_conv = Conv(spec.image_shape[-1], ch, layers=layers, rngs=rngs)
        self.blocks = resnet_blocks(
            rising,
            scales(rising, "down"),
            batch_norm_fn=options.batch_norm_fn,
            layer_norm=options.layer_norm,
            dims=CondDims(0, y_dim),
            **shared,
        )
        self.feature_dim = SMALLEST**2 * rising[-1]
        self.final_fc = Linear(self.feature_dim, 1, **shared)

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        x = self.color_conv(x, train=cond.train)
        for block in self.blocks:
            x = block(x, cond)
        features = x.reshape(x.shape[0], -1).astype(jnp.float32)
        return DiscriminatorOut(self.final_fc(features, train=cond.train)[:, 0], features, {})


register_pair("resnet30_arch", Generator, Discriminator, module="compare_gan.architectures.resnet30")

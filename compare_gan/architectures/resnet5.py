"""ResNet19 of Kurach et al., https://arxiv.org/abs/1807.04720: five residual blocks for up to 128x128.

After the ResNets of Gulrajani et al., https://arxiv.org/abs/1704.00028. As in compare_gan images are
doubled by inserting zeros and every shortcut is a 3x3 convolution; smaller images have the same
blocks, of which fewer double the image, while the discriminator goes on halving down to one pixel.
"""

from collections.abc import Sequence

from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import register_pair
from compare_gan.core.types import ImageSpec
from compare_gan.nn.blocks import ResNetDiscriminator, ResNetGenerator, check_side
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers

BLOCKS = 5
SIDES = [4 * 2**i for i in range(BLOCKS + 1)]


def multiples(ch: int, channels: Sequence[int], owner: str) -> list[int]:
    """The width before the blocks, and after each of them."""
    if len(channels) != BLOCKS + 1:
        raise UserError(f"resnet5.{owner}.channels has {len(channels)} entries; give {BLOCKS + 1}")
    return [ch * c for c in channels]


class Generator(ResNetGenerator):
    """4x4, then five blocks, the first of which double the image until it is large enough.

    `channels` are the widths around the blocks, as multiples of `ch`.
    """

    def __init__(
        self,
        spec: ImageSpec,
        z_dim: int,
        y_dim: int,
        *,
        options: GeneratorOptions,
        layers: Layers,
        ch: int = 64,
        channels: Sequence[int] = (8, 8, 4, 4, 2, 1),
        rngs: nnx.Rngs,
    ):
        check_side("resnet5_arch", spec, SIDES)
        doublings = SIDES.index(spec.image_shape[0])
        super().__init__(
            spec,
            z_dim,
            y_dim,
            side=SIDES[0],
            widths=multiples(ch, channels, "Generator"),
            scales=["up" if i < doublings else "none" for i in range(BLOCKS)],
            options=options,
            layers=layers,
            rngs=rngs,
        )


class Discriminator(ResNetDiscriminator):
    """A block on the colours, then five, all of which halve the image.

    `channels` are the widths around the five, as multiples of `ch`.
    """

    def __init__(
        self,
        spec: ImageSpec,
        y_dim: int,
        *,
        options: DiscriminatorOptions,
        layers: Layers,
        ch: int = 64,
        channels: Sequence[int] = (1, 2, 4, 4, 8, 8),
        rngs: nnx.Rngs,
    ):
        check_side("resnet5_arch", spec, SIDES)
        super().__init__(
            spec,
            y_dim,
            widths=multiples(ch, channels, "Discriminator"),
            scales=["down"] * BLOCKS,
            options=options,
            layers=layers,
            rngs=rngs,
        )


register_pair("resnet5_arch", Generator, Discriminator, module="compare_gan.architectures.resnet5")

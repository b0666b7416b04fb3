"""ResNet19 of Kurach et al., https://arxiv.org/abs/1807.04720: five residual blocks for up to 128x128.

After the ResNets of Gulrajani et al., https://arxiv.org/abs/1704.00028. As in compare_gan images are
doubled by inserting zeros and every shortcut is a 3x3 convolution. For smaller images fewer of the
generator's blocks double the image, while the discriminator keeps halving down to one pixel.
"""

from collections.abc import Sequence

from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.nn.blocks import ResNetDiscriminator, ResNetGenerator, check_side
from compare_gan.nn.networks import NetSpec, register_pair

BLOCKS = 5
SIDES = [4 * 2**i for i in range(BLOCKS + 1)]


def multiples(ch: int, channels: Sequence[int], owner: str) -> list[int]:
    """The width before the blocks, and after each of them."""
    if len(channels) != BLOCKS + 1:
        raise UserError(f"resnet5.{owner}.channels has {len(channels)} entries; give {BLOCKS + 1}")
    return [ch * c for c in channels]


class Generator(ResNetGenerator):
    """4x4, then five blocks, the first of which double the image until it has the required size.

    `channels` are the widths before the blocks and after each, as multiples of `ch`.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 64,
        channels: Sequence[int] = (8, 8, 4, 4, 2, 1),
        rngs: nnx.Rngs,
    ):
        check_side("resnet5_arch", net.image, SIDES)
        doublings = SIDES.index(net.image.image_shape[0])
        super().__init__(
            net,
            side=SIDES[0],
            widths=multiples(ch, channels, "Generator"),
            scales=["up" if i < doublings else "none" for i in range(BLOCKS)],
            rngs=rngs,
        )


class Discriminator(ResNetDiscriminator):
    """A block that takes the image, then five more; all of them halve the image.

    `channels` are the widths before the five blocks and after each, as multiples of `ch`.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 64,
        channels: Sequence[int] = (1, 2, 4, 4, 8, 8),
        rngs: nnx.Rngs,
    ):
        check_side("resnet5_arch", net.image, SIDES)
        widths = multiples(ch, channels, "Discriminator")
        super().__init__(net, widths=widths, scales=["down"] * BLOCKS, rngs=rngs)


register_pair("resnet5_arch", Generator, Discriminator, module="compare_gan.architectures.resnet5")

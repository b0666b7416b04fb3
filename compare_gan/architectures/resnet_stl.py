"""The ResNet for 48x48 images of Miyato et al., https://arxiv.org/abs/1802.05957, table 5.

As in compare_gan it differs from the paper: images are in [0, 1], the generator ends in a sigmoid,
images are doubled by inserting zeros, every shortcut is a 3x3 convolution, the first discriminator
block is like the others, and features are the mean over the image, not the sum.
"""

from flax import nnx

from compare_gan.nn.blocks import ResNetDiscriminator, ResNetGenerator, check_side
from compare_gan.nn.networks import NetSpec, register_pair


class Generator(ResNetGenerator):
    """6x6, then three blocks that double the image and halve the width."""

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        check_side("resnet_stl_arch", net.image, [48])
        super().__init__(net, side=6, widths=[8 * ch, 4 * ch, 2 * ch, ch], scales=["up"] * 3, rngs=rngs)


class Discriminator(ResNetDiscriminator):
    """Four blocks that halve the image, one that does not, each but the first twice as wide."""

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        check_side("resnet_stl_arch", net.image, [48])
        super().__init__(
            net,
            widths=[ch, 2 * ch, 4 * ch, 8 * ch, 16 * ch],
            scales=["down", "down", "down", "none"],
            rngs=rngs,
        )


register_pair("resnet_stl_arch", Generator, Discriminator, module="compare_gan.architectures.resnet_stl")

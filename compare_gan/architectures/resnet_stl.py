"""The ResNet for 48x48 images of Miyato et al., https://arxiv.org/abs/1802.05957, table 5.

As in compare_gan it differs from the paper in this: images lie in [0, 1] and end in a sigmoid,
they are doubled by inserting zeros, every shortcut is a 3x3 convolution, the first discriminator
block is like the others, and features are the mean over the image, not the sum.
"""

from flax import nnx

from compare_gan.core.registry import register_pair
from compare_gan.core.types import ImageSpec
from compare_gan.nn.blocks import ResNetDiscriminator, ResNetGenerator, check_side
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers


class Generator(ResNetGenerator):
    """6x6, then three blocks that double the image and halve the width."""

    def __init__(
        self,
        spec: ImageSpec,
        z_dim: int,
        y_dim: int,
        *,
        options: GeneratorOptions,
        layers: Layers,
        ch: int = 64,
        rngs: nnx.Rngs,
    ):
        check_side("resnet_stl_arch", spec, [48])
        super().__init__(
            spec,
            z_dim,
            y_dim,
            side=6,
            widths=[8 * ch, 4 * ch, 2 * ch, ch],
            scales=["up"] * 3,
            options=options,
            layers=layers,
            rngs=rngs,
        )


class Discriminator(ResNetDiscriminator):
    """Four blocks that halve the image, one that does not, each but the first twice as wide."""

    def __init__(
        self,
        spec: ImageSpec,
        y_dim: int,
        *,
        options: DiscriminatorOptions,
        layers: Layers,
        ch: int = 64,
        rngs: nnx.Rngs,
    ):
        check_side("resnet_stl_arch", spec, [48])
        super().__init__(
            spec,
            y_dim,
            widths=[ch, 2 * ch, 4 * ch, 8 * ch, 16 * ch],
            scales=["down", "down", "down", "none"],
            options=options,
            layers=layers,
            rngs=rngs,
        )


register_pair("resnet_stl_arch", Generator, Discriminator, module="compare_gan.architectures.resnet_stl")

"""BigGAN of Brock et al., https://arxiv.org/abs/1809.11096, for images of 32 to 512 pixels a side.

As in compare_gan it differs from the paper: images are doubled by inserting zeros, a
discriminator block that keeps its number of channels has no shortcut at all, others apply the
shortcut before they pool, the scale of a conditional batch norm is not offset by one, and images
are in [0, 1] on both sides.
"""

from collections.abc import Callable
from itertools import pairwise

from flax import nnx

from compare_gan.core.origin import warn_once
from compare_gan.core.registry import expose
from compare_gan.core.types import Array, Cond, DiscriminatorOut
from compare_gan.nn.attention import NonLocalBlock
from compare_gan.nn.biggan_blocks import ProjectionHead, ToImage, widths
from compare_gan.nn.blocks import ResidualBlock
from compare_gan.nn.latents import block_conds, block_dims
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.networks import NetSpec, Stage, register_pair
from compare_gan.nn.options import CondDims
from compare_gan.nn.rescale import Scale

MODULE = "compare_gan.architectures.resnet_biggan"

# Widths as multiples of `ch`, by the side of the image: input of the first block, then output of each
# block. The input of the discriminator is the image.
GENERATOR = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
DISCRIMINATOR = {
    32: (2, 2, 2, 2),
    64: (2, 4, 8, 16, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}


@expose("BigGanResNetBlock", module=MODULE)
class BigGanResNetBlock(ResidualBlock):
    """A residual block with a 1x1 convolution as shortcut, or none.

    The configurable `add_shortcut` applies to generators only: discriminator blocks have a shortcut if the
    number of channels changes.
    """

    def __init__(self, make: LayerFactory, c_in: int, c_out: int, scale: Scale, *, add_shortcut: bool = True):
        super().__init__(make, c_in, c_out, scale)
        self.shortcut = make.conv(c_in, c_out, size=1, scale=scale) if add_shortcut else None


class Attention(nnx.Module):
    """Non-local blocks after the blocks in a comma-separated list.

    Non-local blocks of equal width share their weights, as in compare_gan. Different widths, for which
    compare_gan fails, have separate weights.

    Args:
      names: block names, of which "B1" is the network's first block; may be empty. Names that no block has at
        this image size are ignored, as in compare_gan, with a warning unless `names` is the default.
      widths: output channels of each block.
      default: the default value of `names`.
      owner: name of the network, for the warning.
    """

    def __init__(self, make: LayerFactory, names: str, widths: tuple[int, ...], *, default: str, owner: str):
        chosen = {name.strip() for name in names.split(",")} - {""}
        known = {f"B{i}": width for i, width in enumerate(widths, 1)}
        if (unknown := sorted(chosen - known.keys())) and names != default:
            warn_once(
                f"{owner}.blocks_with_attention is {names!r}; ignored {', '.join(unknown)}: for images of "
                f"this size the blocks are {', '.join(known)}, separated by commas"
            )
        self.after = tuple(name in chosen for name in known)
        self.outputs = widths
        self.widths = tuple(sorted({known[name] for name in chosen & known.keys()}))
        self.blocks = nnx.List([NonLocalBlock(make, width) for width in self.widths])

    def block(self, index: int) -> NonLocalBlock | None:
        """The non-local block after the block with this index, counted from 0."""
        return self.blocks[self.widths.index(self.outputs[index])] if self.after[index] else None

    def __call__(self, x: Array, index: int, *, train: bool) -> Array:
        """Applies attention, if any, to the output of the block with this index, counted from 0."""
        block = self.block(index)
        return x if block is None else block(x, train=train)


class Generator(nnx.Module):
    """4x4, then blocks that double the image.

    `hierarchical_z` gives each block its own part of z, together with the label; `embed_z` and
    `embed_y` pass z and y through a linear layer first, which has a bias if `embed_bias`, and is
    not under spectral normalisation. Without labels `embed_y` does nothing.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 96,
        blocks_with_attention: str = "B4",
        hierarchical_z: bool = True,
        embed_z: bool = False,
        embed_y: bool = True,
        embed_y_dim: int = 128,
        embed_bias: bool = False,
        block: Callable[..., ResidualBlock] = BigGanResNetBlock,
        rngs: nnx.Rngs,
    ):
        channels = widths("resnet_biggan_arch", net.image, GENERATOR, ch)
        make, bias = net.factory(rngs), 0.0 if embed_bias else None
        self.embed_z = make.plain.linear(net.z_dim, net.z_dim, bias=bias) if embed_z else None
        embed_y = embed_y and net.y_dim > 0
        self.embed_y = make.plain.linear(net.y_dim, embed_y_dim, bias=bias) if embed_y else None
        given = CondDims(net.z_dim, embed_y_dim if embed_y else net.y_dim)
        dims = block_dims(given, len(channels) - 1, hierarchical_z)
        make = make.conditioned(dims)
        self.hierarchical_z, self.first_shape = hierarchical_z, (4, 4, channels[0])
        self.fc_noise = make.linear(dims.z, 4 * 4 * channels[0])
        self.blocks = nnx.List([block(make, c_in, c_out, "up") for c_in, c_out in pairwise(channels)])
        owner = "resnet_biggan.Generator"
        self.attention = Attention(make, blocks_with_attention, channels[1:], default="B4", owner=owner)
        self.to_image = ToImage(make, channels[-1], net.colors)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        train = cond.train
        if self.embed_z is not None:
            cond = cond._replace(z=self.embed_z(cond.z, train=train))
        if self.embed_y is not None:
            cond = cond._replace(y=self.embed_y(cond.y, train=train))
        first, conds = block_conds(cond, len(self.blocks), self.hierarchical_z)
        x = self.fc_noise(first, train=train).reshape(-1, *self.first_shape)
        for i, (block, block_cond) in enumerate(zip(self.blocks, conds, strict=True)):
            x = self.attention(block(x, block_cond), i, train=train)
        return self.to_image(x, cond)


class Discriminator(nnx.Module):
    """Blocks that halve the image down to 4x4, one that does not, sum over the image, one linear layer.

    With `project_y` the label enters as an inner product with the features.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 96,
        blocks_with_attention: str = "B1",
        project_y: bool = True,
        rngs: nnx.Rngs,
    ):
        channels = widths("resnet_biggan_arch", net.image, DISCRIMINATOR, ch)
        make, owner = net.factory(rngs), "resnet_biggan.Discriminator"
        self.blocks = nnx.List(
            [
                BigGanResNetBlock(
                    make, c_in, c_out, "down" if i < len(channels) else "none", add_shortcut=c_in != c_out
                )
                for i, (c_in, c_out) in enumerate(pairwise((net.colors, *channels)), 1)
            ]
        )
        self.attention = Attention(make, blocks_with_attention, channels, default="B1", owner=owner)
        self.head = ProjectionHead(make, channels[-1], project_y=project_y, owner=owner)
        self.feature_dim, self.projects_labels = channels[-1], project_y

    @property
    def stages(self) -> list[Stage]:
        return [(block, self.attention.block(i)) for i, block in enumerate(self.blocks)]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for i, block in enumerate(self.blocks):
            x = self.attention(block(x, cond), i, train=cond.train)
        return self.head(x, cond)


register_pair("resnet_biggan_arch", Generator, Discriminator, module=MODULE)

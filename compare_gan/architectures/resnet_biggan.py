"""BigGAN of Brock et al., https://arxiv.org/abs/1809.11096, for images of 32 to 512 pixels a side.

As in compare_gan it differs from the paper in this: images are doubled by inserting zeros, a
discriminator block that keeps its number of channels has no shortcut at all, others apply the
shortcut before they pool, the scale of a conditional batch norm is not offset by one, and images
are in [0, 1] on both sides.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import expose, register_pair
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.attention import NonLocalBlock
from compare_gan.nn.biggan_blocks import ProjectionHead, ToImage, widths
from compare_gan.nn.blocks import activate, make_norm
from compare_gan.nn.latents import block_conds, block_dims
from compare_gan.nn.layers import Conv, Linear
from compare_gan.nn.norms import CondDims, LayerNorm
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers
from compare_gan.nn.remat import rematerialised
from compare_gan.nn.rescale import Scale

MODULE = "compare_gan.architectures.resnet_biggan"

# Widths as multiples of `ch`, by the side of the image: what goes into the first block, then
# what comes out of each. The discriminator begins with the image's colours.
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
class BigGanResNetBlock(nnx.Module):
    """norm, relu, conv, norm, relu, conv; beside it, with `add_shortcut`, a 1x1 convolution.

    "up" doubles the image before the first convolution and before the shortcut, "down" halves
    it after both. A configuration's `add_shortcut` holds for generators only: discriminators
    have a shortcut where the number of channels changes.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        scale: Scale,
        *,
        batch_norm_fn: Callable[..., Any] | None,
        dims: CondDims,
        layer_norm: bool,
        layers: Layers,
        spectral_norm: bool,
        rngs: nnx.Rngs,
        add_shortcut: bool = True,
    ):
        shared: dict = dict(layers=layers, spectral_norm=spectral_norm, rngs=rngs)
        self.bn1 = make_norm(batch_norm_fn, c_in, dims, **shared)
        self.ln1 = LayerNorm(c_in) if layer_norm else None
        self.conv1 = Conv(c_in, c_out, scale="up" if scale == "up" else "none", **shared)
        self.bn2 = make_norm(batch_norm_fn, c_out, dims, **shared)
        self.ln2 = LayerNorm(c_out) if layer_norm else None
        self.conv2 = Conv(c_out, c_out, scale="down" if scale == "down" else "none", **shared)
        self.shortcut = Conv(c_in, c_out, size=1, scale=scale, **shared) if add_shortcut else None

    @rematerialised
    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H', W', c_out]
        h = self.conv1(activate(x, self.bn1, cond, self.ln1), train=cond.train)
        h = self.conv2(activate(h, self.bn2, cond, self.ln2), train=cond.train)
        return h if self.shortcut is None else h + self.shortcut(x, train=cond.train)


class Attention(nnx.Module):
    """Non-local blocks after the blocks that a comma-separated list names.

    Those of one width are one block with one set of weights, as in compare_gan; those of
    different widths, which compare_gan refuses, have their own.

    Args:
      names: "B1" is the network's first block; may be empty.
      widths: channels that come out of each block.
      default: a list that is right for larger images; here it counts for those blocks that there are.
      owner: the network, for the message.

    Raises:
      UserError: there is no such block.
    """

    def __init__(self, names: str, widths: tuple[int, ...], *, default: str, owner: str, **shared):
        chosen = {name.strip() for name in names.split(",")} - {""}
        known = {f"B{i}": width for i, width in enumerate(widths, 1)}
        if chosen - known.keys() and names != default:
            raise UserError(
                f"{owner}.blocks_with_attention is {names!r}; for images of this size the blocks are "
                f"{', '.join(known)}, separated by commas"
            )
        self.after = tuple(name in chosen for name in known)
        self.widths = tuple(sorted({known[name] for name in chosen & known.keys()}))
        self.blocks = nnx.List([NonLocalBlock(width, **shared) for width in self.widths])

    def __call__(self, x: Array, block: int, *, train: bool) -> Array:
        """Attention for the output of the block with this number, counted from 0."""
        if not self.after[block]:
            return x
        return self.blocks[self.widths.index(x.shape[-1])](x, train=train)


class Generator(nnx.Module):
    """4x4, then blocks that double the image.

    `hierarchical_z` gives each block its own part of z, together with the label; `embed_z` and
    `embed_y` pass z and y through a linear layer first, which has a bias if `embed_bias`, and is
    not under spectral normalisation. Without labels `embed_y` does nothing.
    """

    def __init__(
        self,
        spec: ImageSpec,
        z_dim: int,
        y_dim: int,
        *,
        options: GeneratorOptions,
        layers: Layers,
        ch: int = 96,
        blocks_with_attention: str = "B4",
        hierarchical_z: bool = True,
        embed_z: bool = False,
        embed_y: bool = True,
        embed_y_dim: int = 128,
        embed_bias: bool = False,
        block: Callable[..., nnx.Module] = BigGanResNetBlock,
        rngs: nnx.Rngs,
    ):
        channels = widths("resnet_biggan_arch", spec, GENERATOR, ch)
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        embed: dict = dict(layers=layers, bias=0.0 if embed_bias else None, rngs=rngs)
        self.embed_z = Linear(z_dim, z_dim, **embed) if embed_z else None
        self.embed_y = Linear(y_dim, embed_y_dim, **embed) if embed_y and y_dim else None
        y_dim = y_dim if self.embed_y is None else embed_y_dim
        dims = block_dims(z_dim, y_dim, len(channels) - 1, hierarchical_z)
        self.hierarchical_z, self.first_shape = hierarchical_z, (4, 4, channels[0])
        self.fc_noise = Linear(dims.z, 4 * 4 * channels[0], **shared)
        norms: dict = dict(batch_norm_fn=options.batch_norm_fn, dims=dims, layer_norm=False)
        self.blocks = nnx.List(
            [block(c_in, c_out, "up", **norms, **shared) for c_in, c_out in pairwise(channels)]
        )
        self.attention = Attention(
            blocks_with_attention, channels[1:], default="B4", owner="resnet_biggan.Generator", **shared
        )
        self.to_image = ToImage(channels[-1], spec.image_shape[-1], **shared)

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
        spec: ImageSpec,
        y_dim: int,
        *,
        options: DiscriminatorOptions,
        layers: Layers,
        ch: int = 96,
        blocks_with_attention: str = "B1",
        project_y: bool = True,
        rngs: nnx.Rngs,
    ):
        channels = widths("resnet_biggan_arch", spec, DISCRIMINATOR, ch)
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        norms: dict = dict(
            batch_norm_fn=options.batch_norm_fn, dims=CondDims(0, y_dim), layer_norm=options.layer_norm
        )
        self.blocks = nnx.List(
            [
                BigGanResNetBlock(
                    c_in,
                    c_out,
                    "down" if i < len(channels) else "none",
                    add_shortcut=c_in != c_out,
                    **norms,
                    **shared,
                )
                for i, (c_in, c_out) in enumerate(pairwise((spec.image_shape[-1], *channels)), 1)
            ]
        )
        owner = "resnet_biggan.Discriminator"
        self.attention = Attention(blocks_with_attention, channels, default="B1", owner=owner, **shared)
        self.head = ProjectionHead(channels[-1], y_dim, project_y=project_y, owner=owner, **shared)
        self.feature_dim, self.projects_labels = channels[-1], project_y

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for i, block in enumerate(self.blocks):
            x = self.attention(block(x, cond), i, train=cond.train)
        return self.head(x, cond)


register_pair("resnet_biggan_arch", Generator, Discriminator, module=MODULE)

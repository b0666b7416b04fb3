"""A small residual pair for small images (8 to 64 pixels a side), fast enough to train on a CPU.

After the residual discriminators of Miyato et al., https://arxiv.org/abs/1802.05957. To save time, images
are doubled by repeating pixels, shortcuts are the identity or a 1x1 convolution at the lower resolution,
and width grows as the image shrinks.
"""

from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec, Norm
from compare_gan.nn.blocks import activate
from compare_gan.nn.heads import label_projection, scored
from compare_gan.nn.layers import Conv, LayerFactory
from compare_gan.nn.networks import NetSpec, Stage, register_pair
from compare_gan.nn.remat import maybe_remat


def smallest(spec: ImageSpec) -> tuple[int, int, int]:
    """Height and width after halving while they are even and stay above 3, and the number of halvings.

    Raises:
      UserError: the image cannot be halved, or not down to 8 pixels.
    """
    (h, w, _), halvings = spec.image_shape, 0
    while h % 2 == w % 2 == 0 and min(h, w) >= 8:
        h, w, halvings = h // 2, w // 2, halvings + 1
    if not halvings or max(h, w) > 8:
        shape = "x".join(map(str, spec.image_shape[:2]))
        raise UserError(
            f"resnet_small_arch cannot make {shape} images; resize them to 8, 16, 28, 32, 48 or 64"
        )
    return h, w, halvings


class Block(nnx.Module):
    """norm, relu, conv, norm, relu, conv, with optional norms, plus a shortcut or the identity."""

    def __init__(
        self,
        conv1: Conv,
        conv2: Conv,
        shortcut: Conv | None = None,
        norm1: Norm | None = None,
        norm2: Norm | None = None,
    ):
        self.norm1, self.conv1 = norm1, conv1
        self.norm2, self.conv2 = norm2, conv2
        self.shortcut = shortcut

    @maybe_remat
    def __call__(self, x: Array, cond: Cond) -> Array:
        h = self.conv1(activate(x, self.norm1, cond), train=cond.train)
        h = self.conv2(activate(h, self.norm2, cond), train=cond.train)
        return h + (x if self.shortcut is None else self.shortcut(x, train=cond.train))


def up_block(make: LayerFactory, c_in: int, c_out: int) -> Block:
    """Norms; the first convolution and the 1x1 shortcut double the image."""
    norm1, conv1 = make.norm(c_in), make.conv(c_in, c_out, scale="repeat")
    norm2, conv2 = make.norm(c_out), make.conv(c_out, c_out)
    return Block(conv1, conv2, make.conv(c_in, c_out, size=1, scale="repeat"), norm1, norm2)


def down_block(make: LayerFactory, c_in: int, c_out: int) -> Block:
    """No norms; the second convolution has stride 2, the shortcut is a 1x1 convolution after pooling."""
    return Block(
        make.conv(c_in, c_out // 2),
        make.conv(c_out // 2, c_out, size=4, stride=2),
        make.conv(c_in, c_out, size=1, scale="down"),
    )


def flat_block(make: LayerFactory, width: int) -> Block:
    """No norms; the size of the image does not change."""
    return Block(make.conv(width, width), make.conv(width, width))


class Generator(nnx.Module):
    """A linear layer to the smallest image, then blocks that double it."""

    def __init__(self, net: NetSpec, *, ch: int = 32, rngs: nnx.Rngs):
        h, w, halvings = smallest(net.image)
        make = net.factory(rngs)
        widths = [ch * min(2**i, 4) for i in range(halvings, -1, -1)]
        self.shape = (h, w, widths[0])
        self.fc_noise = make.linear(net.z_dim, h * w * widths[0])
        self.blocks = nnx.List([up_block(make, c_in, c_out) for c_in, c_out in pairwise(widths)])
        self.final_norm = make.norm(ch)
        self.final_conv = make.conv(ch, net.colors)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        x = self.fc_noise(cond.z, train=cond.train).reshape(-1, *self.shape)
        for block in self.blocks:
            x = block(x, cond)
        x = self.final_conv(activate(x, self.final_norm, cond), train=cond.train)
        return nnx.sigmoid(x.astype(jnp.float32))


class Discriminator(nnx.Module):
    """Blocks that halve the image, one that does not, sum over the image, one linear layer."""

    def __init__(self, net: NetSpec, *, ch: int = 32, project_y: bool = False, rngs: nnx.Rngs):
        _, _, halvings = smallest(net.image)
        make = net.factory(rngs)
        widths = [net.colors, *(ch * min(2 ** (i + 1), 4) for i in range(halvings))]
        down = [down_block(make, c_in, c_out) for c_in, c_out in pairwise(widths)]
        self.blocks = nnx.List([*down, flat_block(make, widths[-1])])
        self.feature_dim, self.projects_labels = widths[-1], project_y
        self.final_fc = make.linear(self.feature_dim, 1)
        owner = "resnet_small.Discriminator"
        self.embedding_fc = label_projection(make, self.feature_dim, owner=owner) if project_y else None

    @property
    def stages(self) -> list[Stage]:
        return [(block,) for block in self.blocks]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for block in self.blocks:
            x = block(x, cond)
        features = nnx.relu(x).sum((1, 2), jnp.float32)
        return scored(features, cond, self.final_fc, self.embedding_fc)


register_pair("resnet_small_arch", Generator, Discriminator, module="compare_gan.architectures.resnet_small")

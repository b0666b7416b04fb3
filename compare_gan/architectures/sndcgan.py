"""SNDCGAN: the standard convolutional pair of Miyato et al., https://arxiv.org/abs/1802.05957, table 3.

As in compare_gan: images of any size; the generator's linear layer is normalised too; a layer of
the discriminator that halves the image also doubles the width; leaky relu 0.1; images in [0, 1]
on both sides, which the discriminator maps to [-1, 1]. Spectral normalisation applies to the
discriminator, and in the generator to the norms only.
"""

from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.architectures.dcgan import sizes
from compare_gan.core.types import Array, Cond, DiscriminatorOut
from compare_gan.nn.blocks import activate
from compare_gan.nn.heads import scored
from compare_gan.nn.networks import NetSpec, Stage, register_pair

HALVINGS = 3


class Generator(nnx.Module):
    """A linear layer, three transposed convolutions that double the image, one that does not.

    The first norm is applied to the linear layer's flat output, before it is reshaped to an image.
    Conditional norms work there, too; in compare_gan they raise an error.
    """

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make, plain = net.factory(rngs), net.factory(rngs).plain
        self.sizes = tuple(reversed(sizes(net.image)[: HALVINGS + 1]))
        widths = [8 * ch, 4 * ch, 2 * ch, ch]
        h, w = self.sizes[0]
        self.fc1 = plain.linear(net.z_dim, h * w * widths[0])
        self.norms = nnx.List([make.norm(features) for features in (h * w * widths[0], *widths[1:])])
        doubling = [plain.deconv(c_in, c_out, size=4, stride=2) for c_in, c_out in pairwise(widths)]
        self.deconvs = nnx.List([*doubling, plain.deconv(ch, net.colors, size=3, stride=1)])

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        first, *rest = self.norms
        *doubling, final = self.deconvs
        h, w = self.sizes[0]
        x = activate(self.fc1(cond.z, train=cond.train), first, cond).reshape(cond.z.shape[0], h, w, -1)
        for deconv, norm, size in zip(doubling, rest, self.sizes[1:], strict=True):
            x = activate(deconv(x, size, train=cond.train), norm, cond)
        return 0.5 * nnx.tanh(final(x, self.sizes[-1], train=cond.train).astype(jnp.float32)) + 0.5


class Discriminator(nnx.Module):
    """Seven convolutions, every second of which halves the image, then one linear layer; no norms."""

    projects_labels = False

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make = net.factory(rngs)
        widths = [net.colors, ch, 2 * ch, 2 * ch, 4 * ch, 4 * ch, 8 * ch, 8 * ch]
        self.convs = nnx.List(
            [
                make.conv(c_in, c_out, size=3 + i % 2, stride=1 + i % 2)
                for i, (c_in, c_out) in enumerate(pairwise(widths))
            ]
        )
        h, w = sizes(net.image)[HALVINGS]
        self.feature_dim = h * w * widths[-1]
        self.fc1 = make.linear(self.feature_dim, 1)

    @property
    def stages(self) -> list[Stage]:
        return [(conv,) for conv in self.convs]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        x = 2 * x - 1
        for conv in self.convs:
            x = nnx.leaky_relu(conv(x, train=cond.train), 0.1)
        return scored(x.reshape(x.shape[0], -1).astype(jnp.float32), cond, self.fc1)


register_pair("sndcgan_arch", Generator, Discriminator, module="compare_gan.architectures.sndcgan")

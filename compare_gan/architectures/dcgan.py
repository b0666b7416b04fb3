"""DCGAN of Radford et al., https://arxiv.org/abs/1511.06434, for images of any size.

As in compare_gan: 5x5 kernels, discriminator channels 64 to 512, leaky relu 0.2, images in
[0, 1] on both sides. Spectral normalisation applies to the discriminator only.
"""

import math
from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import activate
from compare_gan.nn.heads import scored
from compare_gan.nn.networks import NetSpec, Stage, register_pair


def sizes(spec: ImageSpec) -> list[tuple[int, int]]:
    """Side lengths from the image down to a sixteenth of it, halved and rounded up each time."""
    h, w = spec.image_shape[:2]
    return [(math.ceil(h / 2**i), math.ceil(w / 2**i)) for i in range(5)]


class Generator(nnx.Module):
    """A linear layer, then four transposed convolutions that double the image."""

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make = net.factory(rngs)
        self.sizes = tuple(reversed(sizes(net.image)))
        widths = [8 * ch, 4 * ch, 2 * ch, ch, net.colors]
        h, w = self.sizes[0]
        self.fc1 = make.plain.linear(net.z_dim, h * w * widths[0])
        self.norms = nnx.List([make.norm(width) for width in widths[:-1]])
        self.deconvs = nnx.List(
            [make.plain.deconv(c_in, c_out, size=5, stride=2) for c_in, c_out in pairwise(widths)]
        )

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        h, w = self.sizes[0]
        x = self.fc1(cond.z, train=cond.train).reshape(cond.z.shape[0], h, w, -1)
        for norm, deconv, size in zip(self.norms, self.deconvs, self.sizes[1:], strict=True):
            x = deconv(activate(x, norm, cond), size, train=cond.train)
        return 0.5 * nnx.tanh(x.astype(jnp.float32)) + 0.5


class Discriminator(nnx.Module):
    """Four strided convolutions, then one linear layer on all of the last one's outputs."""

    projects_labels = False

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make = net.factory(rngs)
        widths = [net.colors, ch, 2 * ch, 4 * ch, 8 * ch]
        self.convs = nnx.List([make.conv(c_in, c_out, size=5, stride=2) for c_in, c_out in pairwise(widths)])
        self.norms = nnx.List([None, *map(make.norm, widths[2:])])
        h, w = sizes(net.image)[-1]
        self.feature_dim = h * w * widths[-1]
        self.fc4 = make.linear(self.feature_dim, 1)

    @property
    def stages(self) -> list[Stage]:
        return list(zip(self.convs, self.norms, strict=True))

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = conv(x, train=cond.train)
            x = nnx.leaky_relu(x if norm is None else norm(x, cond), 0.2)
        return scored(x.reshape(x.shape[0], -1).astype(jnp.float32), cond, self.fc4)


register_pair("dcgan_arch", Generator, Discriminator, module="compare_gan.architectures.dcgan")

"""DCGAN of Radford et al., https://arxiv.org/abs/1511.06434, for images of any size.

As in compare_gan: 5x5 kernels, discriminator channels 64 to 512, leaky relu 0.2, images in
[0, 1] on both sides. Spectral normalisation reaches the discriminator only.
"""

import math

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.registry import register_pair
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import activate, make_norm
from compare_gan.nn.layers import Conv, Deconv, Linear
from compare_gan.nn.norms import CondDims
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers


def sizes(spec: ImageSpec) -> list[tuple[int, int]]:
    """Side lengths from the image down to a sixteenth of it, halved and rounded up each time."""
    h, w = spec.image_shape[:2]
    return [(math.ceil(h / 2**i), math.ceil(w / 2**i)) for i in range(5)]


class Generator(nnx.Module):
    """A linear layer, then four transposed convolutions that double the image."""

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
        self.sizes = tuple(reversed(sizes(spec)))
        widths = [8 * ch, 4 * ch, 2 * ch, ch, spec.image_shape[-1]]
        h, w = self.sizes[0]
        self.fc1 = Linear(z_dim, h * w * widths[0], layers=layers, rngs=rngs)
        self.norms = nnx.List(
            [
                make_norm(
                    options.batch_norm_fn,
                    width,
                    CondDims(z_dim, y_dim),
                    layers=layers,
                    spectral_norm=options.spectral_norm,
                    rngs=rngs,
                )
                for width in widths[:-1]
            ]
        )
        self.deconvs = nnx.List(
            [
                Deconv(c_in, c_out, size=5, stride=2, layers=layers, rngs=rngs)
                for c_in, c_out in zip(widths[:-1], widths[1:], strict=True)
            ]
        )

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        h, w = self.sizes[0]
        x = self.fc1(cond.z, train=cond.train).reshape(cond.z.shape[0], h, w, -1)
        for norm, deconv, size in zip(self.norms, self.deconvs, self.sizes[1:], strict=True):
            x = deconv(activate(x, norm, cond), size, train=cond.train)
        return 0.5 * nnx.tanh(x.astype(jnp.float32)) + 0.5


class Discriminator(nnx.Module):
    """Four strided convolutions, then one linear layer on all of the last one's outputs."""

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
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        widths = [spec.image_shape[-1], ch, 2 * ch, 4 * ch, 8 * ch]
        self.convs = nnx.List(
            [
                Conv(c_in, c_out, size=5, stride=2, **shared)
                for c_in, c_out in zip(widths[:-1], widths[1:], strict=True)
            ]
        )
        self.norms = nnx.List(
            [
                None,
                *(
                    make_norm(options.batch_norm_fn, width, CondDims(0, y_dim), **shared)
                    for width in widths[2:]
                ),
            ]
        )
        h, w = sizes(spec)[-1]
        self.feature_dim = h * w * widths[-1]
        self.fc4 = Linear(self.feature_dim, 1, **shared)

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = conv(x, train=cond.train)
            x = nnx.leaky_relu(x if norm is None else norm(x, cond), 0.2)
        features = x.reshape(x.shape[0], -1).astype(jnp.float32)
        return DiscriminatorOut(self.fc4(features, train=cond.train)[:, 0], features, {})


register_pair("dcgan_arch", Generator, Discriminator, module="compare_gan.architectures.dcgan")

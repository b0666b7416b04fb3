"""SNDCGAN: the standard convolutional pair of Miyato et al., https://arxiv.org/abs/1802.05957, table 3.

As in compare_gan: images of any size; the generator's linear layer is normalised too; a layer of
the discriminator that halves the image also doubles the width; leaky relu 0.1; images in [0, 1]
on both sides, which the discriminator maps to [-1, 1]. Spectral normalisation reaches the
discriminator, and in the generator the norms only.
"""

from itertools import pairwise

import jax.numpy as jnp
from flax import nnx

from compare_gan.architectures.dcgan import sizes
from compare_gan.core.registry import register_pair
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import activate, make_norm
from compare_gan.nn.layers import Conv, Deconv, Linear
from compare_gan.nn.norms import CondDims
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers

HALVINGS = 3


class Generator(nnx.Module):
    """A linear layer, three transposed convolutions that double the image, one that does not.

    The first norm takes the linear layer's outputs as so many features, before they become an
    image. Norms that hang on z or the label work there as everywhere; in compare_gan they raise.
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
        rngs: nnx.Rngs,
    ):
        self.sizes = tuple(reversed(sizes(spec)[: HALVINGS + 1]))
        widths = [8 * ch, 4 * ch, 2 * ch, ch]
        h, w = self.sizes[0]
        self.fc1 = Linear(z_dim, h * w * widths[0], layers=layers, rngs=rngs)
        self.norms = nnx.List(
            [
                make_norm(
                    options.batch_norm_fn,
                    features,
                    CondDims(z_dim, y_dim),
                    layers=layers,
                    spectral_norm=options.spectral_norm,
                    rngs=rngs,
                )
                for features in (h * w * widths[0], *widths[1:])
            ]
        )
        self.deconvs = nnx.List(
            [
                *(
                    Deconv(c_in, c_out, size=4, stride=2, layers=layers, rngs=rngs)
                    for c_in, c_out in pairwise(widths)
                ),
                Deconv(ch, spec.image_shape[-1], size=3, stride=1, layers=layers, rngs=rngs),
            ]
        )

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        first, *rest = self.norms
        *doubling, final = self.deconvs
        h, w = self.sizes[0]
        x = activate(self.fc1(cond.z, train=cond.train), first, cond).reshape(cond.z.shape[0], h, w, -1)
        for deconv, norm, size in zip(doubling, rest, self.sizes[1:], strict=True):
            x = activate(deconv(x, size, train=cond.train), norm, cond)
        return 0.5 * nnx.tanh(final(x, self.sizes[-1], train=cond.train).astype(jnp.float32)) + 0.5


class Discriminator(nnx.Module):
    """Seven convolutions, of which each second one halves the image, then one linear layer; no norm."""

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
        widths = [spec.image_shape[-1], ch, 2 * ch, 2 * ch, 4 * ch, 4 * ch, 8 * ch, 8 * ch]
        self.convs = nnx.List(
            [
                Conv(c_in, c_out, size=3 + i % 2, stride=1 + i % 2, **shared)
                for i, (c_in, c_out) in enumerate(pairwise(widths))
            ]
        )
        h, w = sizes(spec)[HALVINGS]
        self.feature_dim = h * w * widths[-1]
        self.fc1 = Linear(self.feature_dim, 1, **shared)

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        x = 2 * x - 1
        for conv in self.convs:
            x = nnx.leaky_relu(conv(x, train=cond.train), 0.1)
        features = x.reshape(x.shape[0], -1).astype(jnp.float32)
        return DiscriminatorOut(self.fc1(features, train=cond.train)[:, 0], features, {})


register_pair("sndcgan_arch", Generator, Discriminator, module="compare_gan.architectures.sndcgan")

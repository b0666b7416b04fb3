"""The networks of InfoGAN's MNIST experiment, Chen et al., https://arxiv.org/abs/1606.03657.

As in compare_gan without codes and the network that recovers them, leaky relu 0.2 on both sides,
images in [0, 1]. Spectral normalisation reaches the discriminator only. Unlike compare_gan,
which needs sides that are multiples of four, this makes images of any size.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from compare_gan.architectures.dcgan import sizes
from compare_gan.core.registry import register_pair
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import make_norm
from compare_gan.nn.layers import Conv, Deconv, Linear
from compare_gan.nn.norms import BatchNorm, CondDims
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers


def leaky(x: Array, norm: Any, cond: Cond) -> Array:
    """The norm if there is one, then leaky relu."""
    return nnx.leaky_relu(x if norm is None else norm(x, cond), 0.2)


class Generator(nnx.Module):
    """Two linear layers, then two transposed convolutions that double the image.

    As in compare_gan the norms are plain batch norms, whatever `G.batch_norm_fn` says.
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
        shared: dict = dict(layers=layers, rngs=rngs)
        self.sizes = tuple(reversed(sizes(spec)[:3]))
        h, w = self.sizes[0]
        self.fc1 = Linear(z_dim, 16 * ch, **shared)
        self.bn1 = BatchNorm(16 * ch, layers)
        self.fc2 = Linear(16 * ch, h * w * 2 * ch, **shared)
        self.bn2 = BatchNorm(h * w * 2 * ch, layers)
        self.dc3 = Deconv(2 * ch, ch, size=4, stride=2, **shared)
        self.bn3 = BatchNorm(ch, layers)
        self.dc4 = Deconv(ch, spec.image_shape[-1], size=4, stride=2, **shared)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        (h, w), middle, full = self.sizes
        x = leaky(self.fc1(cond.z, train=cond.train), self.bn1, cond)
        x = leaky(self.fc2(x, train=cond.train), self.bn2, cond).reshape(x.shape[0], h, w, -1)
        x = leaky(self.dc3(x, middle, train=cond.train), self.bn3, cond)
        return nnx.sigmoid(self.dc4(x, full, train=cond.train).astype(jnp.float32))


class Discriminator(nnx.Module):
    """Two strided convolutions, then two linear layers; the first one's outputs are the features.

    Norms that hang on the label work on those too; in compare_gan they raise.
    """

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
        h, w = sizes(spec)[2]
        dims = CondDims(0, y_dim)
        self.feature_dim = 16 * ch
        self.conv1 = Conv(spec.image_shape[-1], ch, size=4, stride=2, **shared)
        self.conv2 = Conv(ch, 2 * ch, size=4, stride=2, **shared)
        self.bn2 = make_norm(options.batch_norm_fn, 2 * ch, dims, **shared)
        self.fc3 = Linear(h * w * 2 * ch, self.feature_dim, **shared)
        self.bn3 = make_norm(options.batch_norm_fn, self.feature_dim, dims, **shared)
        self.fc4 = Linear(self.feature_dim, 1, **shared)

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        x = leaky(self.conv1(x, train=cond.train), None, cond)
        x = leaky(self.conv2(x, train=cond.train), self.bn2, cond).reshape(x.shape[0], -1)
        features = leaky(self.fc3(x, train=cond.train), self.bn3, cond)
        return DiscriminatorOut(self.fc4(features, train=cond.train)[:, 0], features, {})


register_pair("infogan_arch", Generator, Discriminator, module="compare_gan.architectures.infogan")

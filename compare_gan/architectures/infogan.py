"""The networks of InfoGAN's MNIST experiment, Chen et al., https://arxiv.org/abs/1606.03657.

As in compare_gan leaky relu 0.2 on both sides, images in [0, 1]. The codes and the network that recovers them
are in `tasks.information`, for any networks. Spectral normalisation applies to the discriminator only.
compare_gan requires sides that are multiples of four; here images may have any size.
"""

import jax.numpy as jnp
from flax import nnx

from compare_gan.architectures.dcgan import sizes
from compare_gan.core.types import Array, Cond, DiscriminatorOut, Norm
from compare_gan.nn.heads import scored
from compare_gan.nn.networks import NetSpec, Stage, register_pair
from compare_gan.nn.norms import BatchNorm


def leaky(x: Array, norm: Norm | None, cond: Cond) -> Array:
    """The norm if there is one, then leaky relu."""
    return nnx.leaky_relu(x if norm is None else norm(x, cond), 0.2)


class Generator(nnx.Module):
    """Two linear layers, then two transposed convolutions that double the image.

    As in compare_gan the norms are plain batch norms, regardless of `G.batch_norm_fn`.
    """

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make = net.factory(rngs).plain
        self.sizes = tuple(reversed(sizes(net.image)[:3]))
        h, w = self.sizes[0]
        self.fc1 = make.linear(net.z_dim, 16 * ch)
        self.bn1 = BatchNorm(16 * ch, net.layers)
        self.fc2 = make.linear(16 * ch, h * w * 2 * ch)
        self.bn2 = BatchNorm(h * w * 2 * ch, net.layers)
        self.dc3 = make.deconv(2 * ch, ch, size=4, stride=2)
        self.bn3 = BatchNorm(ch, net.layers)
        self.dc4 = make.deconv(ch, net.colors, size=4, stride=2)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        (h, w), middle, full = self.sizes
        x = leaky(self.fc1(cond.z, train=cond.train), self.bn1, cond)
        x = leaky(self.fc2(x, train=cond.train), self.bn2, cond).reshape(x.shape[0], h, w, -1)
        x = leaky(self.dc3(x, middle, train=cond.train), self.bn3, cond)
        return nnx.sigmoid(self.dc4(x, full, train=cond.train).astype(jnp.float32))


class Discriminator(nnx.Module):
    """Two strided convolutions, then two linear layers; the first one's outputs are the features.

    Conditional norms work on these features, too; in compare_gan they raise an error.
    """

    projects_labels = False

    def __init__(self, net: NetSpec, *, ch: int = 64, rngs: nnx.Rngs):
        make = net.factory(rngs)
        h, w = sizes(net.image)[2]
        self.feature_dim = 16 * ch
        self.conv1 = make.conv(net.colors, ch, size=4, stride=2)
        self.conv2 = make.conv(ch, 2 * ch, size=4, stride=2)
        self.bn2 = make.norm(2 * ch)
        self.fc3 = make.linear(h * w * 2 * ch, self.feature_dim)
        self.bn3 = make.norm(self.feature_dim)
        self.fc4 = make.linear(self.feature_dim, 1)

    @property
    def stages(self) -> list[Stage]:
        return [(self.conv1,), (self.conv2, self.bn2), (self.fc3, self.bn3)]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        x = leaky(self.conv1(x, train=cond.train), None, cond)
        x = leaky(self.conv2(x, train=cond.train), self.bn2, cond).reshape(x.shape[0], -1)
        return scored(leaky(self.fc3(x, train=cond.train), self.bn3, cond), cond, self.fc4)


register_pair("infogan_arch", Generator, Discriminator, module="compare_gan.architectures.infogan")

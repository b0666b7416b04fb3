"""The ResNet for 32x32 images of Miyato et al., https://arxiv.org/abs/1802.05957, table 4.

As in compare_gan it differs from the paper: images are doubled by inserting zeros,
every shortcut is a 3x3 convolution, and the first discriminator block is like the others.
"""

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Cond, DiscriminatorOut
from compare_gan.nn.blocks import activate, check_side, resnet_blocks
from compare_gan.nn.heads import label_projection, scored
from compare_gan.nn.latents import block_conds, block_dims
from compare_gan.nn.networks import NetSpec, Stage, register_pair
from compare_gan.nn.options import CondDims

BLOCKS = 3


class Generator(nnx.Module):
    """4x4, then three blocks that double the image.

    `hierarchical_z` gives each block its own quarter of z, together with the label;
    `embed_z` and `embed_y` pass z and y through a linear layer first.
    """

    def __init__(
        self,
        net: NetSpec,
        *,
        ch: int = 256,
        hierarchical_z: bool = False,
        embed_z: bool = False,
        embed_y: bool = False,
        rngs: nnx.Rngs,
    ):
        check_side("resnet_cifar_arch", net.image, [32])
        make = net.factory(rngs)
        self.ch, self.hierarchical_z = ch, hierarchical_z
        self.embed_z = make.linear(net.z_dim, net.z_dim) if embed_z else None
        self.embed_y = make.linear(net.y_dim, net.z_dim) if embed_y and net.y_dim else None
        make = make.conditioned(CondDims(net.z_dim, net.y_dim if self.embed_y is None else net.z_dim))
        dims = block_dims(make.dims, BLOCKS, hierarchical_z)
        self.fc_noise = make.linear(dims.z, 4 * 4 * ch)
        self.blocks = resnet_blocks(make.conditioned(dims), [ch] * (BLOCKS + 1), ["up"] * BLOCKS)
        self.final_norm = make.norm(ch)
        self.final_conv = make.conv(ch, net.colors)

    def __call__(self, cond: Cond) -> Array:  # -> [B, 32, 32, C] in [0, 1]
        if self.embed_z is not None:
            cond = cond._replace(z=self.embed_z(cond.z, train=cond.train))
        if self.embed_y is not None:
            cond = cond._replace(y=self.embed_y(cond.y, train=cond.train))
        first, conds = block_conds(cond, BLOCKS, self.hierarchical_z)
        x = self.fc_noise(first, train=cond.train).reshape(-1, 4, 4, self.ch)
        for block, given in zip(self.blocks, conds, strict=True):
            x = block(x, given)
        x = self.final_conv(activate(x, self.final_norm, cond), train=cond.train)
        return nnx.sigmoid(x.astype(jnp.float32))


class Discriminator(nnx.Module):
    """Four blocks, the first two halving the image; mean over the image; one linear layer.

    With `project_y` the label enters as an inner product with the features, see `nn.heads`.
    """

    def __init__(self, net: NetSpec, *, ch: int = 128, project_y: bool = False, rngs: nnx.Rngs):
        check_side("resnet_cifar_arch", net.image, [32])
        make = net.factory(rngs)
        self.blocks = resnet_blocks(make, [net.colors, ch, ch, ch, ch], ["down", "down", "none", "none"])
        self.final_fc = make.linear(ch, 1)
        owner = "resnet_cifar.Discriminator"
        self.embedding_fc = label_projection(make, ch, owner=owner) if project_y else None
        self.feature_dim, self.projects_labels = ch, project_y

    @property
    def stages(self) -> list[Stage]:
        return [(block,) for block in self.blocks]

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for block in self.blocks:
            x = block(x, cond)
        features = nnx.relu(x).mean((1, 2), jnp.float32)
        return scored(features, cond, self.final_fc, self.embedding_fc)


register_pair("resnet_cifar_arch", Generator, Discriminator, module="compare_gan.architectures.resnet_cifar")

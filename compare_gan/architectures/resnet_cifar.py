"""The ResNet for 32x32 images of Miyato et al., https://arxiv.org/abs/1802.05957, table 4.

As in compare_gan it differs from the paper in this: images are doubled by inserting zeros,
every shortcut is a 3x3 convolution, and the first discriminator block is like the others.
"""

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import register_pair
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import activate, check_side, make_norm, resnet_blocks
from compare_gan.nn.latents import block_conds, block_dims
from compare_gan.nn.layers import Conv, Linear
from compare_gan.nn.norms import CondDims
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers

BLOCKS = 3


class Generator(nnx.Module):
    """4x4, then three blocks that double the image.

    `hierarchical_z` gives each block its own quarter of z, together with the label;
    `embed_z` and `embed_y` pass z and y through a linear layer first.
    """

    def __init__(
        self,
        spec: ImageSpec,
        z_dim: int,
        y_dim: int,
        *,
        options: GeneratorOptions,
        layers: Layers,
        ch: int = 256,
        hierarchical_z: bool = False,
        embed_z: bool = False,
        embed_y: bool = False,
        rngs: nnx.Rngs,
    ):
        check_side("resnet_cifar_arch", spec, [32])
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        self.ch, self.hierarchical_z = ch, hierarchical_z
        self.embed_z = Linear(z_dim, z_dim, **shared) if embed_z else None
        self.embed_y = Linear(y_dim, z_dim, **shared) if embed_y and y_dim else None
        y_dim = z_dim if self.embed_y is not None else y_dim
        dims = block_dims(z_dim, y_dim, BLOCKS, hierarchical_z)
        self.fc_noise = Linear(dims.z, 4 * 4 * ch, **shared)
        self.blocks = resnet_blocks(
            [ch] * (BLOCKS + 1), ["up"] * BLOCKS, batch_norm_fn=options.batch_norm_fn, dims=dims, **shared
        )
        self.final_norm = make_norm(options.batch_norm_fn, ch, CondDims(z_dim, y_dim), **shared)
        self.final_conv = Conv(ch, spec.image_shape[-1], **shared)

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

    With `project_y` the label enters as an inner product with the features: Miyato and
    Koyama, https://arxiv.org/abs/1802.05637.
    """

    def __init__(
        self,
        spec: ImageSpec,
        y_dim: int,
        *,
        options: DiscriminatorOptions,
        layers: Layers,
        ch: int = 128,
        project_y: bool = False,
        rngs: nnx.Rngs,
    ):
        check_side("resnet_cifar_arch", spec, [32])
        if project_y and not y_dim:
            raise UserError(
                "resnet_cifar.Discriminator.project_y needs labels; set ModularGAN.conditional = True"
            )
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        self.blocks = resnet_blocks(
            [spec.image_shape[-1], ch, ch, ch, ch],
            ["down", "down", "none", "none"],
            batch_norm_fn=options.batch_norm_fn,
            layer_norm=options.layer_norm,
            dims=CondDims(0, y_dim),
            **shared,
        )
        self.final_fc = Linear(ch, 1, **shared)
        self.embedding_fc = Linear(y_dim, ch, bias=None, **shared) if project_y else None
        self.feature_dim, self.projects_labels = ch, project_y

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for block in self.blocks:
            x = block(x, cond)
        features = nnx.relu(x).mean((1, 2), jnp.float32)
        logits = self.final_fc(features, train=cond.train)[:, 0]
        if self.embedding_fc is not None:
            logits += jnp.sum(self.embedding_fc(cond.y, train=cond.train) * features, 1)
        return DiscriminatorOut(logits, features, {})


register_pair("resnet_cifar_arch", Generator, Discriminator, module="compare_gan.architectures.resnet_cifar")

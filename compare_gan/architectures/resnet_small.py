"""A small residual pair for small images (8 to 64 pixels a side), made to train on a CPU.

After the residual discriminators of Miyato et al., https://arxiv.org/abs/1802.05957, with
what saves time there: images are doubled by repeating pixels, shortcuts are the identity or a
1x1 convolution at the lower resolution, and width grows as the image shrinks.
"""

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import register_pair
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import activate, make_norm
from compare_gan.nn.layers import Conv, Linear
from compare_gan.nn.norms import CondDims
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers
from compare_gan.nn.remat import rematerialised


def smallest(spec: ImageSpec) -> tuple[int, int, int]:
    """Height and width halved while they stay even and above 3, and how often.

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


class UpBlock(nnx.Module):
    """norm, relu, doubling, conv, norm, relu, conv, beside a 1x1 shortcut."""

    def __init__(self, c_in, c_out, *, batch_norm_fn, dims, **shared):
        self.norm1 = make_norm(batch_norm_fn, c_in, dims, **shared)
        self.conv1 = Conv(c_in, c_out, scale="repeat", **shared)
        self.norm2 = make_norm(batch_norm_fn, c_out, dims, **shared)
        self.conv2 = Conv(c_out, c_out, **shared)
        self.shortcut = Conv(c_in, c_out, size=1, scale="repeat", **shared)

    @rematerialised
    def __call__(self, x: Array, cond: Cond) -> Array:
        h = self.conv1(activate(x, self.norm1, cond), train=cond.train)
        h = self.conv2(activate(h, self.norm2, cond), train=cond.train)
        return h + self.shortcut(x, train=cond.train)


class DownBlock(nnx.Module):
    """relu, conv, relu, 4x4 conv of stride 2, beside a 1x1 shortcut of the pooled input."""

    def __init__(self, c_in, c_out, **shared):
        self.conv1 = Conv(c_in, c_out // 2, **shared)
        self.conv2 = Conv(c_out // 2, c_out, size=4, stride=2, **shared)
        self.shortcut = Conv(c_in, c_out, size=1, scale="down", **shared)

    @rematerialised
    def __call__(self, x: Array, cond: Cond) -> Array:
        h = self.conv1(nnx.relu(x), train=cond.train)
        h = self.conv2(nnx.relu(h), train=cond.train)
        return h + self.shortcut(x, train=cond.train)


class FlatBlock(nnx.Module):
    """relu, conv, relu, conv, beside the identity."""

    def __init__(self, channels, **shared):
        self.conv1, self.conv2 = Conv(channels, channels, **shared), Conv(channels, channels, **shared)

    @rematerialised
    def __call__(self, x: Array, cond: Cond) -> Array:
        h = self.conv1(nnx.relu(x), train=cond.train)
        return x + self.conv2(nnx.relu(h), train=cond.train)


class Generator(nnx.Module):
    """A linear layer to the smallest image, then blocks that double it."""

    def __init__(
        self,
        spec: ImageSpec,
        z_dim: int,
        y_dim: int,
        *,
        options: GeneratorOptions,
        layers: Layers,
        ch: int = 32,
        rngs: nnx.Rngs,
    ):
        h, w, halvings = smallest(spec)
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        dims = CondDims(z_dim, y_dim)
        widths = [ch * min(2**i, 4) for i in range(halvings, -1, -1)]
        self.shape = (h, w, widths[0])
        self.fc_noise = Linear(z_dim, h * w * widths[0], **shared)
        self.blocks = nnx.List(
            [
                UpBlock(c_in, c_out, batch_norm_fn=options.batch_norm_fn, dims=dims, **shared)
                for c_in, c_out in zip(widths[:-1], widths[1:], strict=True)
            ]
        )
        self.final_norm = make_norm(options.batch_norm_fn, ch, dims, **shared)
        self.final_conv = Conv(ch, spec.image_shape[-1], **shared)

    def __call__(self, cond: Cond) -> Array:  # -> [B, H, W, C] in [0, 1]
        x = self.fc_noise(cond.z, train=cond.train).reshape(-1, *self.shape)
        for block in self.blocks:
            x = block(x, cond)
        x = self.final_conv(activate(x, self.final_norm, cond), train=cond.train)
        return nnx.sigmoid(x.astype(jnp.float32))


class Discriminator(nnx.Module):
    """Blocks that halve the image, one that does not, sum over the image, one linear layer."""

    def __init__(
        self,
        spec: ImageSpec,
        y_dim: int,
        *,
        options: DiscriminatorOptions,
        layers: Layers,
        ch: int = 32,
        project_y: bool = False,
        rngs: nnx.Rngs,
    ):
        _, _, halvings = smallest(spec)
        if project_y and not y_dim:
            raise UserError(
                "resnet_small.Discriminator.project_y needs labels; set ModularGAN.conditional = True"
            )
        shared: dict = dict(layers=layers, spectral_norm=options.spectral_norm, rngs=rngs)
        widths = [spec.image_shape[-1], *(ch * min(2 ** (i + 1), 4) for i in range(halvings))]
        self.blocks = nnx.List(
            [
                *(
                    DownBlock(c_in, c_out, **shared)
                    for c_in, c_out in zip(widths[:-1], widths[1:], strict=True)
                ),
                FlatBlock(widths[-1], **shared),
            ]
        )
        self.feature_dim, self.projects_labels = widths[-1], project_y
        self.final_fc = Linear(self.feature_dim, 1, **shared)
        self.embedding_fc = Linear(y_dim, self.feature_dim, bias=None, **shared) if project_y else None

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:
        for block in self.blocks:
            x = block(x, cond)
        features = nnx.relu(x).sum((1, 2), jnp.float32)
        logits = self.final_fc(features, train=cond.train)[:, 0]
        if self.embedding_fc is not None:
            logits += jnp.sum(self.embedding_fc(cond.y, train=cond.train) * features, 1)
        return DiscriminatorOut(logits, features, {})


register_pair("resnet_small_arch", Generator, Discriminator, module="compare_gan.architectures.resnet_small")

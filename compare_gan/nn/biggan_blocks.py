"""What BigGAN and BigGAN-deep have in common: their widths, and how their networks end."""

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import activate, check_side
from compare_gan.nn.layers import Conv, Linear
from compare_gan.nn.norms import BatchNorm
from compare_gan.nn.options import Layers


def widths(
    architecture: str, spec: ImageSpec, multipliers: dict[int, tuple[int, ...]], ch: int
) -> tuple[int, ...]:
    """The numbers of channels from a network's first block to its last, for images of this size.

    Raises:
      UserError: there is no such network.
    """
    check_side(architecture, spec, list(multipliers))
    return tuple(ch * multiplier for multiplier in multipliers[spec.image_shape[0]])


class ToImage(nnx.Module):
    """Batch norm without condition, relu, 3x3 convolution, tanh.

    Of `computed` channels the first `colors` are kept: a multiple of 128 is fast on a TPU.
    """

    def __init__(
        self, c_in: int, colors: int, *, computed: int | None = None, layers: Layers, spectral_norm, rngs
    ):
        self.colors = colors
        self.final_norm = BatchNorm(c_in, layers)
        self.final_conv = Conv(
            c_in, computed or colors, layers=layers, spectral_norm=spectral_norm, rngs=rngs
        )

    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H, W, colors] in [0, 1]
        x = self.final_conv(activate(x, self.final_norm, cond), train=cond.train)
        return 0.5 * nnx.tanh(x[..., : self.colors].astype(jnp.float32)) + 0.5


class ProjectionHead(nnx.Module):
    """relu, sum over the image, one linear layer.

    With `project_y` the label enters as an inner product with the features: Miyato and
    Koyama, https://arxiv.org/abs/1802.05637.

    Raises:
      UserError: there is no label to project; `owner` is the network to tell so.
    """

    def __init__(
        self, features: int, y_dim: int, *, project_y: bool, owner: str, layers: Layers, spectral_norm, rngs
    ):
        if project_y and not y_dim:
            raise UserError(
                f"{owner}.project_y needs labels; set it to False, or ModularGAN.conditional = True"
            )
        shared: dict = dict(layers=layers, spectral_norm=spectral_norm, rngs=rngs)
        self.final_fc = Linear(features, 1, **shared)
        glorot = nnx.initializers.glorot_normal()
        self.embedding_fc = (
            Linear(y_dim, features, bias=None, initializer=glorot, **shared) if project_y else None
        )

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:  # [B, H, W, features] -> logits [B]
        features = nnx.relu(x).sum((1, 2), jnp.float32)
        logits = self.final_fc(features, train=cond.train)[:, 0]
        if self.embedding_fc is not None:
            logits += jnp.sum(self.embedding_fc(cond.y, train=cond.train) * features, 1)
        return DiscriminatorOut(logits, features, {})

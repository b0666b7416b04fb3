"""Parts shared by BigGAN and BigGAN-deep: widths, and the last layers of both networks."""

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.blocks import activate, check_side
from compare_gan.nn.heads import label_projection, scored
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.norms import BatchNorm


def widths(
    architecture: str, spec: ImageSpec, multipliers: dict[int, tuple[int, ...]], ch: int
) -> tuple[int, ...]:
    """Channels before the first block and after each, for images of this size.

    Raises:
      UserError: the architecture does not support the image size.
    """
    check_side(architecture, spec, list(multipliers))
    return tuple(ch * multiplier for multiplier in multipliers[spec.image_shape[0]])


class ProjectionHead(nnx.Module):
    """relu, sum over the image, one linear layer; with `project_y` a label projection.

    Raises:
      UserError: `project_y` without labels; the message names the discriminator `owner`.
    """

    def __init__(self, make: LayerFactory, features: int, *, project_y: bool, owner: str):
        glorot = nnx.initializers.glorot_normal()
        self.final_fc = make.linear(features, 1)
        self.embedding_fc = (
            label_projection(make, features, owner=owner, initializer=glorot) if project_y else None
        )

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut:  # [B, H, W, features]
        return scored(nnx.relu(x).sum((1, 2), jnp.float32), cond, self.final_fc, self.embedding_fc)


class ToImage(nnx.Module):
    """Batch norm without condition, relu, 3x3 convolution, tanh.

    The convolution has `computed` channels (a multiple of 128 is fast on a TPU), of which the first `colors`
    are kept.
    """

    def __init__(self, make: LayerFactory, c_in: int, colors: int, *, computed: int | None = None):
        self.colors = colors
        self.final_norm = BatchNorm(c_in, make.layers)
        self.final_conv = make.conv(c_in, computed or colors)

    def __call__(self, x: Array, cond: Cond) -> Array:  # [B, H, W, c_in] -> [B, H, W, colors] in [0, 1]
        x = self.final_conv(activate(x, self.final_norm, cond), train=cond.train)
        return 0.5 * nnx.tanh(x[..., : self.colors].astype(jnp.float32)) + 0.5

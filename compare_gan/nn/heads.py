"""The last layer of a discriminator: features to logits, optionally with a label projection."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond, DiscriminatorOut
from compare_gan.nn.layers import LayerFactory, Linear


class LabelProjection(Linear):
    """The inner product of features and the embedded label: Miyato and Koyama, https://arxiv.org/abs/1802.05637.

    `initializer` is that of the embedding; None uses that of all kernels.
    """

    def __init__(
        self,
        make: LayerFactory,
        y_dim: int,
        features: int,
        initializer: Callable[..., Array] | None = None,
    ):
        super().__init__(dataclasses.replace(make, initializer=initializer), y_dim, features, bias=None)

    def score(self, y: Array, features: Array, *, train: bool) -> Array:
        """The term [B] that labels [B, K] add to the logits of features [B, F]."""
        return jnp.sum(self(y, train=train) * features, 1)


def label_projection(
    make: LayerFactory,
    features: int,
    *,
    owner: str,
    initializer: Callable[..., Array] | None = None,
) -> LabelProjection:
    """The label projection for `project_y` of the discriminator `owner`.

    Raises:
      UserError: the GAN is not conditional.
    """
    if not make.dims.y:
        raise UserError(f"{owner}.project_y needs labels; set it to False, or ModularGAN.conditional = True")
    return LabelProjection(make, make.dims.y, features, initializer)


def scored(
    features: Array, cond: Cond, final: Linear, projection: LabelProjection | None = None
) -> DiscriminatorOut:
    """The discriminator's output for features [B, F]: a linear layer plus the label projection, if any."""
    logits = final(features, train=cond.train)[:, 0]
    if projection is not None:
        logits += projection.score(cond.y, features, train=cond.train)
    return DiscriminatorOut(logits, features, {})

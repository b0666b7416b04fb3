"""The standard deviation of a minibatch as a feature of its images."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, DiscriminatorOut, LossPair, Metrics, SideOutputs
from compare_gan.nn.layers import LayerFactory, Linear
from compare_gan.tasks.base import AuxTask


@TASKS.register("MinibatchStd")
@dataclasses.dataclass(frozen=True)
class MinibatchStd(AuxTask):
    """Shows the discriminator how much the images of a group differ.

    Karras et al., https://arxiv.org/abs/1710.10196, section 3, against generators that make few images. The
    feature is the standard deviation over the group, averaged over all features of the discriminator. It
    enters before the last layer, so a multiple of it is added to the logits; StyleGAN2 appends it to a 4x4
    image, which not every architecture has. A group consists of `group_size` images next to each other, all
    real or all generated; in evaluation of fewer, if the batch cannot be divided so.

    Raises:
      UserError: `group_size` is less than 2, or does not divide a batch.
    """

    group_size: int = 4
    name: str = "minibatch_std"

    def __post_init__(self):
        if self.group_size < 2:
            raise UserError(f"MinibatchStd.group_size is {self.group_size}; it must be at least 2")

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> Linear:
        return make.linear(1, 1, bias=None)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        size = self.group_size if train else math.gcd(self.group_size, len(out.features))
        std = minibatch_std(out.features, size)
        return out._replace(logits=out.logits + head(std[:, None], train=train)[:, 0])

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        return LossPair(jnp.zeros(()), jnp.zeros(())), {}


def minibatch_std(features: Array, group_size: int) -> Array:
    """For each of the features [B, F] the mean standard deviation of its group, [B].

    Raises:
      UserError: `group_size` does not divide B.
    """
    if len(features) % group_size:
        raise UserError(
            f"MinibatchStd.group_size is {group_size}; it must divide the {len(features)} images of a batch"
        )
    groups = features.reshape(-1, group_size, features.shape[-1])
    return jnp.repeat(jnp.sqrt(groups.var(1) + 1e-8).mean(1), group_size)

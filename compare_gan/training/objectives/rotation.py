"""Rotation prediction."""

import dataclasses

import jax.numpy as jnp

from compare_gan.core.registry import PRETRAINING
from compare_gan.core.types import Array, Metrics
from compare_gan.nn.images import TURNS, quarter_turns
from compare_gan.training.encoder import Objective, cross_entropy


@PRETRAINING.register("rotation")
@dataclasses.dataclass(frozen=True)
class ByRotation(Objective):
    """Rotation prediction: Gidaris et al., https://arxiv.org/abs/1803.07728.

    Every image is shown in all four rotations. Labels are ignored.
    """

    def __call__(self, encoder, head, images, labels, rng) -> tuple[Array, Metrics]:
        del head, labels
        views = quarter_turns(self.training.augmentation(rng, images))
        loss, accuracy = cross_entropy(encoder(views).turns, jnp.repeat(jnp.arange(TURNS), len(images)))
        return loss, {"loss": loss, "accuracy": accuracy}

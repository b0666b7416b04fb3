"""Latent consistency regularization (zCR), a part of ICR: Zhao et al., https://arxiv.org/abs/2002.04724."""

import dataclasses

import jax
import jax.numpy as jnp

from compare_gan.core.errors import UserError, refuse_negative
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, Labeled, LossPair, Metrics, Side, SideOutputs
from compare_gan.tasks.base import AuxTask


@TASKS.register("LatentConsistency")
@dataclasses.dataclass(frozen=True)
class LatentConsistency(AuxTask):
    """Compares generated images with images from slightly changed latent vectors z + noise.

    The discriminator's logits should not change: its loss is d_weight times their mean squared difference.
    The images should: the generator's loss is -g_weight times the mean squared difference of their pixels in
    [-1, 1], before the augmentation. ICR is this and `Consistency` with `fake_weight` 10.

    Raises:
      UserError: a value out of range.
    """

    sigma: float = 0.05  # standard deviation of the noise
    d_weight: float = 20.0
    g_weight: float = 0.5
    name: str = "latent_consistency"

    def __post_init__(self):
        if self.sigma <= 0:
            raise UserError(f"LatentConsistency.sigma is {self.sigma}; it must be more than 0")
        refuse_negative(self, "d_weight", "g_weight")

    @property
    def uses_origin(self) -> bool:
        return True

    def extra_latents(self, z: Array, key: Array) -> Array:
        return z + self.sigma * jax.random.normal(key, z.shape)

    def extra_views(self, x: Labeled, side: Side, keys: Array | None) -> Labeled | None:
        del keys
        if side == "real":
            return None
        assert x.others is not None
        return Labeled(x.others[self.name], x.y)

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del real, real_y, fake_y
        views, origin = fake.task_views, fake.origin
        assert views is not None and origin is not None
        assert origin.images is not None and origin.others is not None
        d = jnp.mean((fake.batch.logits - views.logits) ** 2)
        distance = jnp.mean((2 * (origin.images - origin.others[self.name])) ** 2)
        metrics = {f"loss/{self.name}": d, f"{self.name}/distance": distance}
        return LossPair(self.d_weight * d, -self.g_weight * distance), metrics

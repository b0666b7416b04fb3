"""Consistency regularization: the discriminator should not react to small changes of an image.

Zhang et al., https://arxiv.org/abs/1910.12027 (CR); Zhao et al., https://arxiv.org/abs/2002.04724 (bCR).
"""

import dataclasses

import jax
import jax.numpy as jnp

from compare_gan.core.augmentation import refuse_mirror
from compare_gan.core.errors import UserError, refuse_negative
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, ImageSpec, Labeled, LossPair, Metrics, Side, SideOutputs
from compare_gan.nn.images import random_flip
from compare_gan.tasks.base import AuxTask


@TASKS.register("Consistency")
@dataclasses.dataclass(frozen=True)
class Consistency(AuxTask):
    """Mean squared difference of the logits of an image and of a mirrored and shifted copy.

    The copies are mirrored with probability 1/2 and shifted by up to 1/8 of each side, with reflection at the
    border. CR is `real_weight` 10 and `fake_weight` 0; bCR has 10 for both. Only the discriminator is trained
    by it. The copies are made after the augmentation, if there is one.

    Raises:
      UserError: a negative weight, or both zero.
    """

    real_weight: float = 10.0
    fake_weight: float = 0.0
    mirror: bool = True  # False for images with a reading direction, such as digits or letters
    name: str = "consistency"

    def __post_init__(self):
        refuse_negative(self, "real_weight", "fake_weight")
        if self.real_weight == self.fake_weight == 0:
            raise UserError("Consistency.real_weight and Consistency.fake_weight must not both be 0")

    def check(self, spec: ImageSpec) -> None:
        if self.mirror:
            refuse_mirror("Consistency.mirror", spec, "Consistency.mirror = False")

    @property
    def random(self) -> bool:
        return True

    def extra_views(self, x: Labeled, side: Side, keys: Array | None) -> Labeled | None:
        if not (self.real_weight if side == "real" else self.fake_weight):
            return None
        assert keys is not None
        return x._replace(images=jax.vmap(self.changed)(keys, x.images))

    def changed(self, key: Array, image: Array) -> Array:
        """A mirrored and shifted copy of an image [H, W, C]."""
        flip_key, shift_key = jax.random.split(key)
        image = random_flip(flip_key, image) if self.mirror else image
        most = jnp.array(image.shape[:2]) // 8
        return cropped(image, jax.random.randint(shift_key, (2,), 0, 2 * most + 1))

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del real_y, fake_y
        loss = jnp.zeros(())
        for weight, side in ((self.real_weight, real), (self.fake_weight, fake)):
            if side.task_views is not None:
                loss += weight * jnp.mean((side.batch.logits - side.task_views.logits) ** 2)
        return LossPair(loss, jnp.zeros(())), {f"loss/{self.name}": loss}


def cropped(image: Array, corner: Array) -> Array:
    """The crop of an image [H, W, C] of its size, after padding by reflection of 1/8 of each side.

    Args:
      image: [H, W, C].
      corner: [2], the top left corner in the padded image, from 0 to twice the padding.
    """
    h, w, c = image.shape
    padded = jnp.pad(image, ((h // 8,) * 2, (w // 8,) * 2, (0, 0)), "reflect")
    return jax.lax.dynamic_slice(padded, (corner[0], corner[1], 0), (h, w, c))

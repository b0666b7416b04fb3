"""Rotation prediction (0, 90, 180 or 270 degrees): Chen et al., https://arxiv.org/abs/1811.11212."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import optax

from compare_gan.core.errors import UserError
from compare_gan.core.registry import TASKS
from compare_gan.core.types import (
    Array,
    DiscriminatorOut,
    ImageSpec,
    Labeled,
    LossPair,
    Metrics,
    Side,
    SideOutputs,
)
from compare_gan.nn.images import TURNS, quarter_turns
from compare_gan.nn.layers import LayerFactory, Linear
from compare_gan.tasks.base import AuxTask


@dataclasses.dataclass(frozen=True)
class RotatedViews(AuxTask):
    """Shows the last `num_images` images of a batch, real and generated, in all four rotations.

    The copies are used by the task only, never by the adversarial loss.
    """

    num_images: int
    d_weight: float = 1.0
    g_weight: float = 1.0

    def check(self, spec: ImageSpec) -> None:
        h, w, _ = spec.image_shape
        if h != w:
            raise UserError(
                f"images of {h}x{w} cannot be rotated by 90 degrees, as SSGAN and S3GAN do; "
                "crop to squares with --image_size"
            )

    def check_gan(self, gan: Any) -> None:
        if not 0 < self.num_images <= gan.batch_size:
            raise UserError(
                f"{type(self).__name__}.num_images is {self.num_images}; it must be from 1 to "
                f"options.batch_size, {gan.batch_size}"
            )

    def for_microbatch(self, parts: int) -> "RotatedViews":
        share, rest = divmod(self.num_images, parts)
        if rest:
            raise UserError(
                f"ModularGAN.gradient_accumulation is {parts}; it must divide the {self.num_images} images "
                "of each side that the rotation task rotates"
            )
        return dataclasses.replace(self, num_images=share)

    def extra_views(self, x: Labeled, side: Side, keys: Array | None) -> Labeled:
        del side, keys
        last = x.images[-self.num_images :]
        y = None if x.y is None else jnp.tile(x.y[-self.num_images :], (TURNS - 1, 1))
        return Labeled(quarter_turns(last, tuple(range(1, TURNS))), y)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        del y
        return out._replace(aux={**out.aux, self.name: head(out.features, train=train)})

    @property
    def turns(self) -> Array:
        """[4 `num_images`]: the quarter turns of each image of `rotated`."""
        return jnp.repeat(jnp.arange(TURNS), self.num_images)

    def rotated(self, side: SideOutputs) -> Array:
        """The head's outputs [4 `num_images`, N] for the images in all four rotations."""
        assert side.task_views is not None
        upright = side.batch.aux[self.name][-self.num_images :]
        return jnp.concatenate([upright, side.task_views.aux[self.name]])


@TASKS.register("Rotation")
@dataclasses.dataclass(frozen=True)
class Rotation(RotatedViews):
    """Predicts the rotation of the last `num_images` images of a batch, each shown in all four rotations.

    The loss on real images trains the discriminator, that on generated ones the generator.
    """

    g_weight: float = 0.2
    name: str = "rotation"

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> Linear:
        del num_classes
        return make.linear(feature_dim, TURNS)

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del real_y, fake_y

        def cross_entropy(side: SideOutputs) -> Array:
            return optax.softmax_cross_entropy_with_integer_labels(self.rotated(side), self.turns).mean()

        pair = LossPair(cross_entropy(real), cross_entropy(fake))
        metrics = {
            "loss/rotation_real": pair.d,
            "loss/rotation_fake": pair.g,
            "accuracy/rotation": jnp.mean(self.rotated(real).argmax(-1) == self.turns),
        }
        return pair.scaled(self.d_weight, self.g_weight), metrics

"""Augmentation-aware self-supervision (AugSelf-GAN): Hou et al., https://arxiv.org/abs/2205.15677."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.augmentation import DIFFAUGMENT
from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import TASKS
from compare_gan.core.types import (
    Array,
    DiscriminatorOut,
    Labeled,
    LossPair,
    Metrics,
    ParametricAugment,
    Side,
    SideOutputs,
)
from compare_gan.nn.layers import LayerFactory
from compare_gan.tasks.base import AuxTask


@TASKS.register("AugSelf")
@dataclasses.dataclass(frozen=True)
class AugSelf(AuxTask):
    """Predicts the parameters w of DiffAugment from the features of an image before and after it.

    The discriminator predicts w for real and -w for generated images: its loss is d_weight times the sum of
    both mean squared errors. The generator's is g_weight times the error of w minus that of -w, on generated
    images. Parameters are scaled to [0, 1]; the errors of all operations in `policy` are added. The weights
    of Hou et al. are 1 and 1, with StyleGAN2 on large data sets 1 and 0.2.

    Raises:
      UserError: an unknown operation.
    """

    policy: str = "color,translation,cutout"  # the operations to predict, of those of `DiffAugment.policy`
    d_weight: float = 1.0
    g_weight: float = 1.0
    name: str = "augself"

    def __post_init__(self):
        for name in self.operations:
            if name not in DIFFAUGMENT:
                raise UserError(
                    f"AugSelf.policy has an unknown operation {name!r}{did_you_mean(name, DIFFAUGMENT)}"
                )

    @property
    def operations(self) -> list[str]:
        return [name.strip() for name in self.policy.split(",")]

    def check_gan(self, gan: Any) -> None:
        if not isinstance(gan.augment, ParametricAugment) or gan.augment_probability is not None:
            raise UserError(
                "AugSelf predicts what DiffAugment does to every image: set ModularGAN.augment = "
                "@DiffAugment() and no ModularGAN.augment_probability"
            )
        image = jax.ShapeDtypeStruct(gan.spec.image_shape, jnp.float32)
        known = jax.eval_shape(gan.augment.parameters, jax.random.key(0), image)
        for name in self.operations:
            if name not in known:
                raise UserError(f"AugSelf.policy has {name!r}, but DiffAugment.policy does not")

    @property
    def uses_origin(self) -> bool:
        return True

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        del num_classes
        return nnx.Dict({name: make.linear(feature_dim, DIFFAUGMENT[name]) for name in self.operations})

    def extra_views(self, x: Labeled, side: Side, keys: Array | None) -> Labeled:
        """The images before the augmentation."""
        del side, keys
        assert x.origin is not None and x.origin.images is not None
        return Labeled(x.origin.images, x.y)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        del y
        scores = jnp.concatenate([head[name](out.features, train=train) for name in self.operations], -1)
        biases = jnp.concatenate([head[name].bias[...] for name in self.operations])
        added = {self.name: scores, f"{self.name}_bias": jnp.broadcast_to(biases, scores.shape)}
        return out._replace(aux={**out.aux, **added})

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del real_y, fake_y
        true, false = self.error(real, 1), self.error(fake, -1)
        metrics = {"loss/augself_real": true, "loss/augself_fake": false}
        return LossPair(true + false, self.error(fake, 1) - false).scaled(
            self.d_weight, self.g_weight
        ), metrics

    def error(self, side: SideOutputs, sign: int) -> Array:
        """The mean squared error of each operation, added; the parameters are multiplied by `sign`."""
        assert (
            side.task_views is not None and side.origin is not None and side.origin.augmentation is not None
        )
        seen, before = side.batch.aux[self.name], side.task_views.aux[self.name]
        predicted = seen - before + side.batch.aux[f"{self.name}_bias"]  # the layers, applied to a difference
        parameters = jnp.concatenate([side.origin.augmentation[name] for name in self.operations], -1)
        sizes = [DIFFAUGMENT[name] for name in self.operations]
        shares = np.concatenate([np.full(size, 1 / size) for size in sizes])
        return jnp.mean((predicted - sign * parameters) ** 2 @ shares)

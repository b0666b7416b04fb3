"""Multi-hinge loss (MHGAN): Kavalerov et al., https://arxiv.org/abs/1912.04216."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from compare_gan.core.errors import UserError, refuse_negative
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, DiscriminatorOut, LossPair, Metrics, SideOutputs
from compare_gan.losses.standard import hinge
from compare_gan.nn.layers import LayerFactory, Linear
from compare_gan.tasks.base import AuxTask
from compare_gan.tasks.classifier import accuracy
from compare_gan.tasks.projection import is_labelled, mean_over


@TASKS.register("MH")
@dataclasses.dataclass(frozen=True)
class MH(AuxTask):
    """The hinge loss of K + 1 classes, the last of which is "generated".

    A linear head gives the logits f_1 ... f_K of the classes. The logit of "generated", f_0, is the negative
    of the discriminator's logit without this task. The adversarial logit becomes `max_k f_k - f_0`. So
    `loss.fn = @hinge` is the loss of unlabelled real images (one of the classes must exceed "generated" by 1)
    and of generated images ("generated" must exceed all classes by 1). This task adds what is missing to the
    loss of labelled real images (their class must exceed all others, and "generated", by 1). To the
    generator's loss it adds the same for generated images, times `mh_lambda`. A soft label counts as its most
    likely class.

    Raises:
      UserError: a negative `mh_lambda`.
    """

    mh_lambda: float = 0.05
    name: str = "mh"

    def __post_init__(self):
        refuse_negative(self, "mh_lambda")

    @property
    def needs_labels(self) -> bool:
        return True

    def check_gan(self, gan: Any) -> None:
        if gan.loss is not hinge:
            raise UserError("MH generalises the hinge loss to several classes; set loss.fn = @hinge")

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> Linear:
        return make.linear(feature_dim, num_classes)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        del y
        logits = jnp.column_stack([head(out.features, train=train), -out.logits])
        return out._replace(logits=margin(logits), aux={**out.aux, self.name: logits})

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        assert real_y is not None and fake_y is not None
        real_logits, fake_logits = real.batch.aux[self.name], fake.batch.aux[self.name]
        labelled = is_labelled(real_y)
        own_class = multi_hinge(real_logits, real_y.argmax(-1))
        any_class = jax.nn.relu(1 - margin(real_logits))
        d = jnp.where(labelled, own_class - any_class, 0).mean()
        g = mean_over(multi_hinge(fake_logits, fake_y.argmax(-1)), is_labelled(fake_y))
        metrics = {
            f"loss/{self.name}_real": mean_over(own_class, labelled),
            f"loss/{self.name}_fake": g,
            f"accuracy/{self.name}": accuracy(real_logits[:, :-1], real_y, labelled),
        }
        return LossPair(d, self.mh_lambda * g), metrics


def margin(logits: Array) -> Array:
    """By how much the highest class exceeds "generated", the last of the logits [B, K + 1]."""
    return logits[:, :-1].max(-1) - logits[:, -1]


def multi_hinge(logits: Array, classes: Array) -> Array:
    """How much each class [B] lacks to exceed all others by 1; Crammer and Singer, 2001."""
    own = jax.nn.one_hot(classes, logits.shape[-1], dtype=bool)
    return jax.nn.relu(1 + jnp.where(own, -jnp.inf, logits).max(-1) - jnp.where(own, logits, 0).sum(-1))

"""Label projection on the features, and a predictor for missing labels.

Projection: Miyato and Koyama, https://arxiv.org/abs/1802.05637. Predictor and soft labels:
Lucic et al., https://arxiv.org/abs/1903.02271.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, DiscriminatorOut, LossPair, Metrics, SideOutputs
from compare_gan.nn.heads import LabelProjection
from compare_gan.nn.layers import LayerFactory
from compare_gan.tasks.base import AuxTask


def is_labelled(y: Array) -> Array:
    """[B, K] -> [B]: rows that are not all zero."""
    return y.sum(-1) > 0.5


def mean_over(values: Array, rows: Array) -> Array:
    """Mean of values [B] over the marked rows [B]; 0 if there are none."""
    return jnp.sum(jnp.where(rows, values, 0)) / jnp.maximum(rows.sum(), 1)


class _Heads(nnx.Module):
    def __init__(
        self, make: LayerFactory, feature_dim: int, num_classes: int, *, predict: bool, project: bool
    ):
        glorot = nnx.initializers.glorot_normal()
        self.predictor = make.linear(feature_dim, num_classes) if predict else None
        self.projection = LabelProjection(make, num_classes, feature_dim, glorot) if project else None


@TASKS.register("Projection")
@dataclasses.dataclass(frozen=True)
class Projection(AuxTask):
    """Adds <embedding of y, features> to the logits.

    With `use_predictor` a linear head is trained on the labelled real images, and its prediction
    (one-hot, or probabilities if `use_soft_pred`) replaces missing labels.
    """

    project_y: bool = True
    use_predictor: bool = False
    use_soft_pred: bool = False
    class_weight: float = 1.0
    name: str = "class"

    @property
    def changes_logits(self) -> bool:
        return self.project_y

    @property
    def needs_labels(self) -> bool:
        return True

    @property
    def predicts_classes(self) -> bool:
        return self.use_predictor

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        return _Heads(make, feature_dim, num_classes, predict=self.use_predictor, project=self.project_y)

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        assert y is not None
        if self.use_predictor:
            logits = head.predictor(out.features, train=train)
            predicted = (
                jax.nn.softmax(logits)
                if self.use_soft_pred
                else jax.nn.one_hot(logits.argmax(-1), y.shape[-1])
            )
            y = jax.lax.stop_gradient(jnp.where(is_labelled(y)[:, None], y, predicted))
            out = out._replace(aux={**out.aux, self.name: logits})
        if self.project_y:
            projected = head.projection.score(y, out.features, train=train)
            out = out._replace(logits=out.logits + projected)
        return out

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del fake, fake_y
        zero = jnp.zeros((), jnp.float32)
        if not self.use_predictor:
            return LossPair(zero, zero), {}
        assert real_y is not None
        labelled = is_labelled(real_y)
        entropy = optax.softmax_cross_entropy(real.batch.aux[self.name], real_y)
        loss = mean_over(entropy, labelled)
        return LossPair(self.class_weight * loss, zero), {"loss/class": loss, "label_frac": labelled.mean()}

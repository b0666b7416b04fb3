"""Entropy of predicted classes: Katsumata et al., https://arxiv.org/abs/2204.14249."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from compare_gan.core.errors import UserError, refuse_negative
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, LossPair, Metrics, SideOutputs
from compare_gan.tasks.base import AuxTask
from compare_gan.tasks.projection import is_labelled, mean_over


@TASKS.register("OSSGAN")
@dataclasses.dataclass(frozen=True)
class OSSGAN(AuxTask):
    """OSSGAN's additions to the loss of a classifier that fills in missing labels.

    The discriminator also learns the labels of generated images, and it raises the entropy of all
    predictions, so that unlabelled images of none of the classes get no confident label. With C the mean
    cross-entropy, H the mean entropy divided by its maximum, and r the labelled share of the batch, the term
    in its loss is `cross_entropy_lambda * (r C(fake) - H(real) - r H(fake))`.

    `classifier` is the name of the task that predicts classes. The paper's method is S3GAN with `project_y`,
    `use_predictor`, `use_soft_pred`, `weight_class_loss` equal to `cross_entropy_lambda`, and without
    self-supervision.

    Raises:
      UserError: a negative weight.
    """

    cross_entropy_lambda: float = 0.1
    classifier: str = "class"  # S3GAN's predictor
    name: str = "ossgan"

    def __post_init__(self):
        refuse_negative(self, "cross_entropy_lambda")

    @property
    def needs_labels(self) -> bool:
        return True

    def check_tasks(self, tasks: Sequence[AuxTask]) -> None:
        if not any(task.predicts_classes and task.name == self.classifier for task in tasks):
            raise UserError(
                f"OSSGAN.classifier is {self.classifier!r}, but no task of this name predicts the classes; "
                "set S3GAN.use_predictor = True, or OSSGAN.classifier = 'ac' with the task AC"
            )

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        assert real_y is not None and fake_y is not None
        real_logits, fake_logits = real.batch.aux[self.classifier], fake.batch.aux[self.classifier]
        share = is_labelled(real_y).mean()
        fake_loss = mean_over(optax.softmax_cross_entropy(fake_logits, fake_y), is_labelled(fake_y))
        real_entropy, fake_entropy = (entropy(logits).mean() for logits in (real_logits, fake_logits))
        d = share * fake_loss - real_entropy - share * fake_entropy
        metrics = {
            f"loss/{self.name}_fake": fake_loss,
            f"entropy/{self.name}_real": real_entropy,
            f"entropy/{self.name}_fake": fake_entropy,
        }
        return LossPair(self.cross_entropy_lambda * d, jnp.zeros(())), metrics


def entropy(logits: Array) -> Array:
    """Entropy of softmax(logits [B, K]), divided by log K: 1 for equal probabilities."""
    logs = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(logs) * logs, -1) / jnp.log(logits.shape[-1])

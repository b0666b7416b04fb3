"""Transition from unconditional to conditional training, which keeps few images from losing diversity.

Shahbazi et al., https://arxiv.org/abs/2201.06578, and their code,
https://github.com/mshahbazi72/transitional-cGAN.
"""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import TASKS
from compare_gan.core.types import Array, DiscriminatorOut, GanLoss, LossPair, Metrics, SideOutputs
from compare_gan.nn.heads import LabelProjection
from compare_gan.nn.layers import LayerFactory
from compare_gan.tasks.base import AuxTask
from compare_gan.tasks.projection import is_labelled


@TASKS.register("Transition")
@dataclasses.dataclass(frozen=True)
class Transition(AuxTask):
    """Starts as an unconditional GAN; labels come in gradually, and count in full at the end.

    With lambda = clip((step - Ts) / (Te - Ts), 0, 1):

    - Both players' loss is that of the discriminator's logits, which do not depend on the label, plus lambda
      times that of a label projection. Only labelled images have the second term. Penalty, regularizers and
      augmentation probabilities see the first logits only.
    - The generator gets lambda * y + (1 - lambda) / K in place of the label y of K classes. So its class
      embeddings, which are linear in y, start at their mean.

    A batch without labelled images has no second term. If only some are labelled, these are repeated in turn,
    so that each generated image counts.

    Attributes:
      steps: planned length of the run, in generator updates. It does not change if the run gets more steps.
      start: Ts as a share of `steps`. By default Ts and Te are those of the authors' example, 2 and 4 of 25
        million images.
      end: Te as a share of `steps`.
      name: of the head, and of lambda among the metrics.

    Raises:
      UserError: a value out of range.
    """

    steps: int
    start: float = 0.08
    end: float = 0.16
    name: str = "transition"

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"Transition.steps is {self.steps}; it must be at least 1")
        if not 0 <= self.start < self.end <= 1:
            raise UserError(
                f"Transition.start is {self.start} and Transition.end is {self.end}; they must be shares of "
                "the steps, 0 <= start < end <= 1"
            )

    @property
    def needs_labels(self) -> bool:
        return True

    @property
    def projects_labels(self) -> bool:
        return True

    def strength(self, step: Array | int) -> Array:
        """Lambda, in [0, 1]."""
        done = jnp.asarray(step, jnp.float32) / self.steps
        return jnp.clip((done - self.start) / (self.end - self.start), 0, 1)

    def generator_labels(self, y: Array, step: Array | int) -> Array:
        strength = self.strength(step)
        return strength * y + (1 - strength) / y.shape[-1]

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        return LabelProjection(make, num_classes, feature_dim, nnx.initializers.glorot_normal())

    def score(
        self, head: LabelProjection, out: DiscriminatorOut, y: Array | None, train: bool
    ) -> DiscriminatorOut:
        assert y is not None
        return out._replace(aux={**out.aux, self.name: head.score(y, out.features, train=train)})

    def adversarial_loss(
        self,
        loss: GanLoss,
        real: SideOutputs,
        fake: SideOutputs,
        real_y: Array | None,
        fake_y: Array | None,
        step: Array | int,
    ) -> tuple[LossPair, Metrics]:
        assert real_y is not None and fake_y is not None
        logits = [side.batch.aux[self.name][labelled_rows(y)] for side, y in ((real, real_y), (fake, fake_y))]
        pair = loss(*logits)
        weight = self.strength(step) * (is_labelled(real_y).any() & is_labelled(fake_y).any())
        return pair.scaled(weight, weight), {self.name: self.strength(step), "loss/conditional": pair.d}

    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        del real, fake, real_y, fake_y
        return LossPair(jnp.zeros(()), jnp.zeros(())), {}


def labelled_rows(y: Array) -> Array:
    """[B, K] -> [B]: the labelled rows in order, repeated in turn; all rows if none is labelled."""
    labelled = is_labelled(y)
    order = jnp.argsort(~labelled, stable=True)
    count = labelled.sum()
    return order[jnp.arange(len(y)) % jnp.where(count > 0, count, len(y))]

"""The interface of auxiliary tasks of the discriminator. Most methods do nothing by default."""

import abc
from collections.abc import Sequence
from typing import Any

from flax import nnx

from compare_gan.core.types import (
    Array,
    DiscriminatorOut,
    GanLoss,
    ImageSpec,
    Labeled,
    LossPair,
    Metrics,
    Side,
    SideOutputs,
)
from compare_gan.nn.layers import LayerFactory


class AuxTask(abc.ABC):
    """A head on the discriminator's features with its own loss. Subclasses are frozen dataclasses."""

    name: str

    @property
    def needs_labels(self) -> bool:
        """Whether the GAN must be conditional."""
        return False

    @property
    def projects_labels(self) -> bool:
        """Whether the head has a label projection, so that other heads must not have one.

        The network may have another one if `changes_logits`: both are added to the logits, as in compare_gan.
        """
        return self.changes_logits

    @property
    def changes_logits(self) -> bool:
        """Whether `score` adds a label projection to the logits."""
        return False

    def check(self, spec: ImageSpec) -> None:
        """Checks that the task supports images of this shape.

        Raises:
          UserError: it does not.
        """
        del spec

    def check_gan(self, gan: Any) -> None:
        """Checks that the task works with the other parts of a `gans.gan.GAN`.

        Raises:
          UserError: it does not.
        """
        del gan

    @property
    def predicts_classes(self) -> bool:
        """Whether the head's output `aux[name]` has a logit for each class, [B, K]."""
        return False

    def check_tasks(self, tasks: Sequence["AuxTask"]) -> None:
        """Checks that the task works with those of the complete GAN, to which a method may have added some.

        Raises:
          UserError: it does not.
        """
        del tasks

    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        """Creates the task's head, which becomes a part of the discriminator; by default an empty one."""
        del make, feature_dim, num_classes
        return nnx.Module()

    @property
    def random(self) -> bool:
        """Whether `extra_views` draws random numbers."""
        return False

    @property
    def uses_origin(self) -> bool:
        """Whether the task uses `Labeled.others`, `Labeled.origin` or `SideOutputs.origin`."""
        return False

    def extra_latents(self, z: Array, key: Array) -> Array | None:
        """Latent vectors [B, Z] of other images, which are generated with the labels of the batch, or None.

        These are `Labeled.others` of the generated images, for tasks with `uses_origin`.

        Args:
          z: [B, Z], the latent vectors of the batch.
          key: a key for the whole batch.
        """
        del z, key
        return None

    @abc.abstractmethod
    def loss(
        self, real: SideOutputs, fake: SideOutputs, real_y: Array | None, fake_y: Array | None
    ) -> tuple[LossPair, Metrics]:
        """The task's contribution to the losses of both players, and its metrics.

        Args:
          real: the discriminator's outputs for the real images and their extra views.
          fake: the same for the generated images.
          real_y: labels [B, K] of the real images, or None.
          fake_y: the same of the generated images.
        """

    def adversarial_loss(
        self,
        loss: GanLoss,
        real: SideOutputs,
        fake: SideOutputs,
        real_y: Array | None,
        fake_y: Array | None,
        step: Array | int,
    ) -> tuple[LossPair, Metrics] | None:
        """A further term of the adversarial loss, on logits of the task's head, and metrics; None: no term.

        Args:
          loss: that of the GAN.
          real: see `loss`.
          fake: see `loss`.
          real_y: see `loss`.
          fake_y: see `loss`.
          step: number of generator updates so far.
        """
        del loss, real, fake, real_y, fake_y, step
        return None

    def generator_labels(self, y: Array, step: Array | int) -> Array:
        """The labels [B, K] that the generator gets in place of `y`, in training and in inference."""
        del step
        return y

    def for_microbatch(self, parts: int) -> "AuxTask":
        """The same task for one of `parts` equal microbatches.

        Raises:
          UserError: the task cannot be divided evenly.
        """
        del parts
        return self

    def extra_views(self, x: Labeled, side: Side, keys: Array | None) -> Labeled | None:
        """Extra images that the discriminator sees in the same pass as `x`, or None.

        Args:
          x: a batch.
          side: whether the images are real or generated.
          keys: [B], a key for each image; None if the task is not `random`.
        """
        del x, side, keys
        return None

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        """Applies the head to `out`: may change the logits, or add predictions to `aux`."""
        del head, y, train
        return out

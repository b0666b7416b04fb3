"""What an auxiliary task of the discriminator may do. Most of the hooks do nothing by default."""

import abc
from typing import Any

from flax import nnx

from compare_gan.core.types import Array, DiscriminatorOut, ImageSpec, Labeled, LossPair, Metrics, SideOutputs
from compare_gan.nn.layers import LayerFactory


class AuxTask(abc.ABC):
    """A head on the discriminator's features with a loss of its own. A frozen value."""

    name: str

    @property
    def changes_logits(self) -> bool:
        """Whether `score` adds the label to the logits."""
        return False

    def check(self, spec: ImageSpec) -> None:
        """Checks that the task can be done on such images.

        Raises:
          UserError: it cannot.
        """
        del spec

    @abc.abstractmethod
    def make_head(self, make: LayerFactory, feature_dim: int, num_classes: int) -> nnx.Module:
        """The task's own parameters; they belong to the discriminator."""

    @abc.abstractmethod
    def loss(self, real: SideOutputs, fake: SideOutputs, real_y: Array | None) -> tuple[LossPair, Metrics]:
        """What the task adds to the two players' losses, and what it reports."""

    def for_microbatch(self, parts: int) -> "AuxTask":
        """The same task on one of so many equal parts of a batch.

        Raises:
          UserError: it cannot be shared out.
        """
        del parts
        return self

    def extra_views(self, x: Labeled) -> Labeled | None:
        """Images to append to `x` in the discriminator's pass, or None."""
        del x
        return None

    def score(self, head: Any, out: DiscriminatorOut, y: Array | None, train: bool) -> DiscriminatorOut:
        """Runs the head: may change the logits, or leave predictions in `aux`."""
        del head, y, train
        return out

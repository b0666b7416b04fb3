"""Parts of training that adapt to the discriminator's logits, with a state in `GANState.adaptive`."""

import abc

from compare_gan.core.types import Array, GanLoss, Logits, LossPair, Metrics

State = dict[str, Array]  # scalars


class Adaptive(abc.ABC):
    """A part of training with scalars that follow the discriminator's logits.

    Subclasses are frozen dataclasses.
    """

    name: str  # of its state, and the prefix of its metrics

    def check(self, loss: GanLoss) -> None:
        """Checks that the part works with a loss.

        Raises:
          UserError: it does not.
        """
        del loss

    @abc.abstractmethod
    def init(self) -> State:
        """The state before the first update."""

    @abc.abstractmethod
    def observe(self, state: State, logits: Logits) -> State:
        """The state after a batch.

        With gradient accumulation the states after all microbatches are averaged. So the new state must be
        affine in means over the batch, to be independent of the number of microbatches.
        """

    def finish(self, state: State, batch_size: int) -> State:
        """The state after a discriminator update on `batch_size` real images, which were observed."""
        del batch_size
        return state

    def metrics(self, state: State) -> Metrics:
        """The scalars to log."""
        return {f"{self.name}/{name}": value for name, value in state.items()}


class Regularizer(Adaptive):
    """A term of the losses that depends on the logits and on its state."""

    @abc.abstractmethod
    def loss(self, state: State, logits: Logits) -> LossPair:
        """The contribution to the losses of both players, from the state after this batch."""


class AdaptiveProbability(Adaptive):
    """Controls a probability."""

    @abc.abstractmethod
    def probability(self, state: State) -> Array:
        """The current value, in [0, 1]."""

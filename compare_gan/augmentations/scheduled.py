"""The probability of augmentation by a schedule.

R3GAN has one: Huang et al., https://arxiv.org/abs/2501.05441.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from compare_gan.core.adaptive import AdaptiveProbability, State
from compare_gan.core.registry import AUGMENTATIONS
from compare_gan.core.types import Array, Logits, Metrics


@AUGMENTATIONS.register("ScheduledProbability")
@dataclasses.dataclass(frozen=True)
class ScheduledProbability(AdaptiveProbability):
    """A probability by a schedule of the number of discriminator updates, such as `@cosine_annealing`.

    It depends on no logits, so unlike `@ADA` it works with every loss.
    """

    p: Callable[[Array], Array]
    name: str = "augment"

    def init(self) -> State:
        return {"updates": jnp.zeros(())}

    def observe(self, state: State, logits: Logits) -> State:
        return state

    def finish(self, state: State, batch_size: int) -> State:
        return {"updates": state["updates"] + 1}

    def metrics(self, state: State) -> Metrics:
        return {f"{self.name}/p": self.probability(state)}

    def probability(self, state: State) -> Array:
        return jnp.clip(self.p(state["updates"]), 0, 1)

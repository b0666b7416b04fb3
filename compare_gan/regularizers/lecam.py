"""LeCam regularization: Tseng et al., https://arxiv.org/abs/2104.03310."""

import dataclasses

import jax
import jax.numpy as jnp

from compare_gan.core.adaptive import Regularizer, State
from compare_gan.core.errors import UserError, refuse_negative
from compare_gan.core.registry import REGULARIZERS
from compare_gan.core.types import Logits, LossPair


@REGULARIZERS.register("LeCam")
@dataclasses.dataclass(frozen=True)
class LeCam(Regularizer):
    """Keeps the logits of real images near the average of those of generated ones, and vice versa.

    With moving averages a_R and a_F of the mean logits, updated first, the discriminator's loss gets
    weight * (E[relu(D(x) - a_F)^2] + E[relu(a_R - D(G(z)))^2]). Before `start_step` the averages follow the
    batch; the term is on after it. The rectifier is in the authors' code, not in equation 4 of the paper.

    Raises:
      UserError: a value out of range.
    """

    weight: float = 0.3
    decay: float = 0.9
    start_step: int = 1000
    name: str = "lecam"

    def __post_init__(self):
        if not 0 <= self.decay < 1:
            raise UserError(f"LeCam.decay is {self.decay}; it must be in [0, 1)")
        refuse_negative(self, "weight", "start_step")

    def init(self) -> State:
        return {"real": jnp.zeros(()), "fake": jnp.zeros(())}

    def observe(self, state: State, logits: Logits) -> State:
        decay = jnp.where(jnp.asarray(logits.step) < self.start_step, 0.0, self.decay)
        means = {"real": logits.real.mean(), "fake": logits.fake.mean()}
        return {side: decay * state[side] + (1 - decay) * mean for side, mean in means.items()}

    def loss(self, state: State, logits: Logits) -> LossPair:
        real = jnp.mean(jax.nn.relu(logits.real - state["fake"]) ** 2)
        fake = jnp.mean(jax.nn.relu(state["real"] - logits.fake) ** 2)
        on = jnp.asarray(logits.step) > self.start_step
        return LossPair(jnp.where(on, self.weight * (real + fake), 0.0), jnp.zeros(()))

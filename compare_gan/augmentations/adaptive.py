"""Probabilities that rise while the discriminator overfits: of augmentation, or of pseudo-real images.

ADA: Karras et al., https://arxiv.org/abs/2006.06676. APA: Jiang et al., https://arxiv.org/abs/2111.06849.
"""

import dataclasses

import jax.numpy as jnp

from compare_gan.core.adaptive import AdaptiveProbability, State
from compare_gan.core.errors import UserError
from compare_gan.core.registry import AUGMENTATIONS
from compare_gan.core.types import Array, GanLoss, Logits
from compare_gan.losses.relativistic import relativistic
from compare_gan.losses.standard import wasserstein


@dataclasses.dataclass(frozen=True)
class _SignOfRealLogits(AdaptiveProbability):
    """Moves p up if the mean sign of the real logits exceeds `target`, else down.

    p changes after every `interval` discriminator updates, by 1 per `kimg` thousand real images, and stays in
    [0, max_p].

    Raises:
      UserError: a value out of range.
    """

    target: float = 0.6
    interval: int = 4
    kimg: float = 500.0
    max_p: float = 0.8
    name: str = "ada"

    def __post_init__(self):
        owner = type(self).__name__
        if not -1 < self.target < 1:
            raise UserError(f"{owner}.target is {self.target}; it must be between -1 and 1")
        if not 0 < self.max_p <= 1:
            raise UserError(f"{owner}.max_p is {self.max_p}; it must be in (0, 1]")
        if self.interval < 1 or self.kimg <= 0:
            raise UserError(f"{owner}.interval must be at least 1, and {owner}.kimg more than 0")

    def check(self, loss: GanLoss) -> None:
        if loss in (wasserstein, relativistic):
            raise UserError(
                f"{type(self).__name__} needs logits whose sign tells real from generated images; it does "
                "not with the losses wasserstein and relativistic: set loss.fn to another one"
            )

    def init(self) -> State:
        return {"p": jnp.zeros(()), "sign": jnp.zeros(()), "updates": jnp.zeros(())}

    def observe(self, state: State, logits: Logits) -> State:
        return {**state, "sign": state["sign"] + jnp.sign(logits.real).mean()}

    def finish(self, state: State, batch_size: int) -> State:
        updates = state["updates"] + 1
        due = updates >= self.interval
        change = jnp.sign(state["sign"] / updates - self.target) * updates * batch_size / (1000 * self.kimg)
        p = jnp.clip(state["p"] + jnp.where(due, change, 0), 0, self.max_p)
        return {
            "p": p,
            **{name: jnp.where(due, 0, x) for name, x in (("sign", state["sign"]), ("updates", updates))},
        }

    def metrics(self, state: State) -> State:
        return {f"{self.name}/p": state["p"]}

    def probability(self, state: State) -> Array:
        return state["p"]


@AUGMENTATIONS.register("ADA")
@dataclasses.dataclass(frozen=True)
class ADA(_SignOfRealLogits):
    """Adaptive discriminator augmentation: the probability of `ModularGAN.augment`, see the base class."""


@AUGMENTATIONS.register("APA")
@dataclasses.dataclass(frozen=True)
class APA(_SignOfRealLogits):
    """Adaptive pseudo augmentation: the share of real images that are replaced by generated ones.

    Jiang et al., https://arxiv.org/abs/2111.06849. A replaced image has the label for which it was generated.
    """

    name: str = "apa"

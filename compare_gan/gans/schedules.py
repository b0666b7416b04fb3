"""How learning rates change: a schedule is a function of the step, whose value multiplies the rates.

A step is one update of the generator, so both players are at the same place of a schedule however many
updates of the discriminator a step has. Schedules bear the names and have the formulas of those of
TensorFlow 1; all of them begin at one, and `ModularGAN.lr_warmup_steps` goes with each.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from compare_gan.core.errors import UserError
from compare_gan.core.registry import SCHEDULES
from compare_gan.core.types import Array

LearningRateSchedule = Callable[[Array], Array]


@SCHEDULES.register("cosine_decay")
def cosine_decay(step: Array, *, steps: int, end: float = 0.0) -> Array:
    """Half a period of a cosine, down to `end`: Loshchilov and Hutter, https://arxiv.org/abs/1608.03983."""
    return optax.cosine_decay_schedule(1.0, steps, end)(step)


@SCHEDULES.register("polynomial_decay")
def polynomial_decay(step: Array, *, steps: int, end: float = 0.0, power: float = 1.0) -> Array:
    """A straight line down to `end`, or a power of it."""
    return optax.polynomial_schedule(1.0, end, power, steps)(step)


@SCHEDULES.register("exponential_decay")
def exponential_decay(step: Array, *, steps: int, rate: float, staircase: bool = False) -> Array:
    """Multiplied by `rate` over each `steps` steps, smoothly or at their end."""
    return optax.exponential_decay(1.0, steps, rate, staircase=staircase)(step)


@SCHEDULES.register("piecewise_constant")
def piecewise_constant(step: Array, *, boundaries: tuple[int, ...], factors: tuple[float, ...]) -> Array:
    """The first of `factors` up to the first boundary, and the next one from there on.

    Raises:
      UserError: there is not one factor more than boundaries, or these do not grow.
    """
    if len(factors) != len(boundaries) + 1 or list(boundaries) != sorted(set(boundaries)):
        raise UserError(
            f"piecewise_constant has boundaries {boundaries} and factors {factors}; "
            "it takes growing boundaries, and one factor more than there are of them"
        )
    return jnp.asarray(factors, jnp.float32)[jnp.searchsorted(jnp.asarray(boundaries), step, side="right")]


def warmup(step: Array, steps: int) -> Array:
    """A straight line that reaches one at the last of so many steps."""
    return jnp.minimum((step + 1) / steps, 1.0)

"""Learning-rate schedules: functions of the step whose value multiplies both learning rates.

A step is one update of the generator, so both players follow the same schedule however many discriminator
updates a step has. Names and formulas are those of TensorFlow 1. All schedules start at 1 and can be combined
with `ModularGAN.lr_warmup_steps`.
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
    """Cosine decay from 1 to `end`: Loshchilov and Hutter, https://arxiv.org/abs/1608.03983."""
    return optax.cosine_decay_schedule(1.0, steps, end)(step)


@SCHEDULES.register("polynomial_decay")
def polynomial_decay(step: Array, *, steps: int, end: float = 0.0, power: float = 1.0) -> Array:
    """Linear decay from 1 to `end`, or with exponent `power`."""
    return optax.polynomial_schedule(1.0, end, power, steps)(step)


@SCHEDULES.register("exponential_decay")
def exponential_decay(step: Array, *, steps: int, rate: float, staircase: bool = False) -> Array:
    """Decay by the factor `rate` every `steps` steps; continuous, or in steps if `staircase`."""
    return optax.exponential_decay(1.0, steps, rate, staircase=staircase)(step)


@SCHEDULES.register("piecewise_constant")
def piecewise_constant(step: Array, *, boundaries: tuple[int, ...], factors: tuple[float, ...]) -> Array:
    """The first of `factors` below the first boundary, the second below the second boundary, and so on.

    Raises:
      UserError: the boundaries are not increasing, or there are not `len(boundaries) + 1` factors.
    """
    if len(factors) != len(boundaries) + 1 or list(boundaries) != sorted(set(boundaries)):
        raise UserError(
            f"piecewise_constant has boundaries {boundaries} and factors {factors}; "
            "boundaries must increase, and there must be one more factor than boundaries"
        )
    return jnp.asarray(factors, jnp.float32)[jnp.searchsorted(jnp.asarray(boundaries), step, side="right")]


def warmup(step: Array, steps: int) -> Array:
    """Linear warm-up that reaches 1 at step `steps - 1`."""
    return jnp.minimum((step + 1) / steps, 1.0)

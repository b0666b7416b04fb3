"""Schedules: functions of the step whose value multiplies both learning rates, or another number.

A step is one update of the generator, so both players follow the same schedule however many discriminator
updates a step has. Schedules can be combined with `ModularGAN.lr_warmup_steps`.

Names, formulas and defaults of the decays are those of TensorFlow 1 (`tf.train`). In TensorFlow the values of
`piecewise_constant` and the end of `polynomial_decay` are learning rates; here they are factors, because the
learning rates of the players differ. Schedules of optax have their own names, such as
`@optax.cosine_decay_schedule`.

`ModularGAN.penalty_schedule` and `ModularGAN.ema_schedule` take the same schedules. To use one twice with
different parameters, name a scope: `@lr/cosine_annealing` is configured by `lr/cosine_annealing.end`.
"""

import inspect
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from compare_gan.core.errors import UserError
from compare_gan.core.registry import SCHEDULES
from compare_gan.core.types import Array

Schedule = Callable[[Array], Array]
SCHEDULED = ("lr_schedule", "penalty_schedule", "ema_schedule")  # fields of a GAN
MAX_STEP = 2**30  # of the table of restarts
TF = "tf.train"
OPTAX = (  # those that are functions of numbers
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "linear_onecycle_schedule",
    "linear_schedule",
    "polynomial_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
)


@SCHEDULES.register("cosine_decay", module=TF)
def cosine_decay(step: Array, *, decay_steps: int, alpha: float = 0.0) -> Array:
    """Cosine decay from 1 to `alpha`: Loshchilov and Hutter, https://arxiv.org/abs/1608.03983."""
    return (1 - alpha) * half_cosine(fraction(step, decay_steps)) + alpha


@SCHEDULES.register("cosine_annealing")
def cosine_annealing(step: Array, *, decay_steps: int, start: float = 1.0, end: float = 0.0) -> Array:
    """From `start` to `end` along half a period of a cosine, as all schedules of R3GAN.

    Huang et al., https://arxiv.org/abs/2501.05441.
    """
    return end + (start - end) * half_cosine(fraction(step, decay_steps))


@SCHEDULES.register("cosine_decay_restarts", module=TF)
def cosine_decay_restarts(
    step: Array, *, first_decay_steps: int, t_mul: float = 2.0, m_mul: float = 1.0, alpha: float = 0.0
) -> Array:
    """Cosine decays one after another: Loshchilov and Hutter, https://arxiv.org/abs/1608.03983.

    Args:
      step: the step.
      first_decay_steps: length of the first decay.
      t_mul: each decay is this many times as long as the one before; at least 1.
      m_mul: each decay starts at this multiple of the start of the one before.
      alpha: the value at the end of the decays.

    Raises:
      UserError: a length is not positive, or `t_mul` is less than 1.
    """
    if t_mul < 1:
        raise UserError(f"cosine_decay_restarts.t_mul is {t_mul}; it must be at least 1")
    check_steps(first_decay_steps)
    if t_mul == 1:
        index = step // first_decay_steps
        done = (step % first_decay_steps) / first_decay_steps
    else:  # a table, since float32 does not find the exact step of a restart
        count = math.ceil(math.log1p(MAX_STEP / first_decay_steps * (t_mul - 1)) / math.log(t_mul))
        lengths = first_decay_steps * t_mul ** np.arange(count)
        starts = np.append(0, np.cumsum(lengths)[:-1])
        index = jnp.searchsorted(jnp.asarray(np.ceil(starts), jnp.int32), step, side="right") - 1
        start, length = (jnp.asarray(table, jnp.float32)[index] for table in (starts, lengths))
        done = (step - start) / length
    return (1 - alpha) * m_mul**index * half_cosine(done) + alpha


@SCHEDULES.register("exponential_decay", module=TF)
def exponential_decay(step: Array, *, decay_steps: int, decay_rate: float, staircase: bool = False) -> Array:
    """Decay by the factor `decay_rate` every `decay_steps` steps; continuous, or in steps if `staircase`."""
    return decay_rate ** periods(step, decay_steps, staircase)


@SCHEDULES.register("inverse_time_decay", module=TF)
def inverse_time_decay(step: Array, *, decay_steps: int, decay_rate: float, staircase: bool = False) -> Array:
    """1 / (1 + `decay_rate` * t), with t in units of `decay_steps`, rounded down if `staircase`."""
    return 1 / (1 + decay_rate * periods(step, decay_steps, staircase))


@SCHEDULES.register("linear_cosine_decay", module=TF)
def linear_cosine_decay(
    step: Array, *, decay_steps: int, num_periods: float = 0.5, alpha: float = 0.0, beta: float = 0.001
) -> Array:
    """(`alpha` + linear decay) * cosine + `beta`: Bello et al., https://arxiv.org/abs/1709.07417.

    The cosine oscillates between 1 and 0, `num_periods` times in `decay_steps` steps.
    """
    t = fraction(step, decay_steps)
    return (alpha + 1 - t) * half_cosine(2 * num_periods * t) + beta


@SCHEDULES.register("natural_exp_decay", module=TF)
def natural_exp_decay(step: Array, *, decay_steps: int, decay_rate: float, staircase: bool = False) -> Array:
    """exp(-`decay_rate` * t), with t in units of `decay_steps`, rounded down if `staircase`."""
    return jnp.exp(-decay_rate * periods(step, decay_steps, staircase))


@SCHEDULES.register("noisy_linear_cosine_decay", module=TF)
def noisy_linear_cosine_decay(
    step: Array,
    *,
    decay_steps: int,
    initial_variance: float = 1.0,
    variance_decay: float = 0.55,
    num_periods: float = 0.5,
    alpha: float = 0.0,
    beta: float = 0.001,
) -> Array:
    """`linear_cosine_decay` with Gaussian noise: Bello et al., https://arxiv.org/abs/1709.07417.

    The noise is added to the linear part; its variance is `initial_variance` / (1 + step)^`variance_decay`.
    It is a function of the step, the same for both players. The value may be negative, as in TensorFlow.
    """
    t = fraction(step, decay_steps)
    deviation = jnp.sqrt(initial_variance / (1 + decay_steps * t) ** variance_decay)
    noise = deviation * jax.random.normal(jax.random.fold_in(jax.random.key(0), step))
    return (alpha + 1 - t + noise) * half_cosine(2 * num_periods * t) + beta


@SCHEDULES.register("piecewise_constant", module=TF)
def piecewise_constant(step: Array, *, boundaries: tuple[int, ...], factors: tuple[float, ...]) -> Array:
    """The first of `factors` up to and including the first boundary, then the second, and so on.

    Raises:
      UserError: the boundaries are not increasing, or there are not `len(boundaries) + 1` factors.
    """
    if len(factors) != len(boundaries) + 1 or list(boundaries) != sorted(set(boundaries)):
        raise UserError(
            f"piecewise_constant has boundaries {boundaries} and factors {factors}; "
            "boundaries must increase, and there must be one more factor than boundaries"
        )
    return jnp.asarray(factors, jnp.float32)[jnp.searchsorted(jnp.asarray(boundaries), step, side="left")]


@SCHEDULES.register("polynomial_decay", module=TF)
def polynomial_decay(
    step: Array, *, decay_steps: int, end: float = 0.0, power: float = 1.0, cycle: bool = False
) -> Array:
    """Linear decay from 1 to `end`, or with exponent `power`.

    With `cycle` the decay does not end after `decay_steps`: it is stretched to the next multiple of
    `decay_steps`, which raises the value after each multiple.
    """
    t = fraction(step, decay_steps, clip=not cycle)
    if cycle:
        t = t / jnp.maximum(jnp.ceil(t), 1)
    return (1 - end) * (1 - t) ** power + end


def check_steps(decay_steps: int) -> None:
    """Raises UserError if `decay_steps` is not positive."""
    if decay_steps <= 0:
        raise UserError(f"decay_steps of a schedule is {decay_steps}; it must be at least 1")


def fraction(step: Array, decay_steps: int, clip: bool = True) -> Array:
    """`step / decay_steps` as float32, at most 1 if `clip`. Raises UserError like `check_steps`."""
    check_steps(decay_steps)
    done = jnp.asarray(step, jnp.float32) / decay_steps
    return jnp.minimum(done, 1) if clip else done


def periods(step: Array, decay_steps: int, staircase: bool) -> Array:
    """The number of times that `decay_steps` have passed; an integer if `staircase`."""
    done = fraction(step, decay_steps, clip=False)
    return jnp.floor(done) if staircase else done


def half_cosine(t: Array) -> Array:
    """From 1 at t = 0 to 0 at t = 1, along half a period of a cosine."""
    return (1 + jnp.cos(jnp.pi * t)) / 2


def from_optax(name: str) -> Callable[..., Array]:
    """A schedule of optax as a function of the step and its parameters.

    `init_value` is 1 by default, or 0 before a warm-up, and `peak_value` is 1.
    """
    make = getattr(optax, name)
    known = {"init_value": 0.0 if name.startswith("warmup") else 1.0, "peak_value": 1.0}
    parameters = [
        p.replace(kind=p.KEYWORD_ONLY, default=known.get(p.name, p.default))
        for p in inspect.signature(make).parameters.values()
    ]
    defaults = {p.name: p.default for p in parameters if p.name in known}

    def schedule(step: Array, **values: float) -> Array:
        try:
            return make(**defaults | values)(step)
        except ValueError as error:
            raise UserError(f"optax.{name}: {str(error).rstrip('.')}") from None

    schedule.__name__, schedule.__doc__, schedule.__module__ = name, make.__doc__, make.__module__
    schedule.__annotations__ = make.__annotations__
    schedule.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return schedule


for name in OPTAX:
    SCHEDULES.register(name, module="optax")(from_optax(name))


def warmup(step: Array, steps: int) -> Array:
    """Linear warm-up that reaches 1 at step `steps - 1`."""
    return jnp.minimum((step + 1) / steps, 1.0)

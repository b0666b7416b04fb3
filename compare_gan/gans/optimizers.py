"""TensorFlow 1's optimisers, with its names, formulas and defaults, for compare_gan's configurations.

Optax's own optimisers are exposed under their own names, such as `@optax.adam`. Optimisers of other papers
have names without a dot.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from compare_gan.core.registry import expose
from compare_gan.core.types import Array, Tree
from compare_gan.penalties.weights import non_orthogonality

TF = "tf.train"
OPTAX = (  # those whose only required argument is a learning rate
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "amsgrad",
    "fromage",
    "lamb",
    "lars",
    "lion",
    "novograd",
    "optimistic_adam_v2",
    "optimistic_gradient_descent",
    "radam",
    "rmsprop",
    "sgd",
    "sign_sgd",
    "signum",
    "sm3",
    "yogi",
)
for name in OPTAX:
    expose(name, module="optax")(getattr(optax, name))


@expose("AdamOptimizer", module=TF)
def adam(
    learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> optax.GradientTransformation:
    """Adam as TensorFlow 1 computes it, Kingma and Ba, https://arxiv.org/abs/1412.6980, end of section 2.

    Unlike `optax.adam` it adds epsilon to the root of the second moment before bias correction.
    """

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros, jax.tree.map(jnp.zeros_like, params))

    def update(gradients, state, params=None):
        del params
        count = state.count + 1
        mu = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.mu, gradients)
        nu = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g**2, state.nu, gradients)
        rate = learning_rate * jnp.sqrt(1 - beta2**count) / (1 - beta1**count)
        updates = jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + epsilon), mu, nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


@expose("scheduled_adam")
def scheduled_adam(
    learning_rate: float = 0.001, *, b2: Callable[[Array], Array], b1: float = 0.0, eps: float = 1e-8
) -> optax.GradientTransformation:
    """`optax.adam` whose `b2` is a schedule of the number of updates, as in R3GAN.

    Huang et al., https://arxiv.org/abs/2501.05441. As in PyTorch the bias of the second moment is corrected
    as if the current value had held from the beginning.
    """

    def at(count: Array | int) -> optax.GradientTransformation:
        return optax.adam(learning_rate, b1, b2(jnp.asarray(count)), eps)

    def update(gradients, state, params=None):
        return at(state[0].count).update(gradients, state, params)

    return optax.GradientTransformation(at(0).init, update)


@expose("orthogonal_regularization")
def orthogonal_regularization(
    learning_rate: float = 0.001, *, optimizer_fn: Callable[..., Any] = adam, weight: float = 1e-4
) -> optax.GradientTransformation:
    """An optimiser whose gradients include those of `weight` times `@orthogonal_penalty` of the network.

    Brock et al., https://arxiv.org/abs/1809.11096, equation 3, who regularize the generator so.
    """

    def add(gradients, params):
        assert params is not None
        more = jax.grad(non_orthogonality)(params)
        return jax.tree.map(lambda g, m: g + weight * m, gradients, more)

    return optax.chain(optax.stateless(add), optimizer_fn(learning_rate))


@expose("GradientDescentOptimizer", module=TF)
def gradient_descent(learning_rate: float = 0.01) -> optax.GradientTransformation:
    """Plain gradient descent."""
    return optax.sgd(learning_rate)


@expose("MomentumOptimizer", module=TF)
def momentum(
    learning_rate: float = 0.01, *, momentum: float, use_nesterov: bool = False
) -> optax.GradientTransformation:
    """Gradient descent with classical or Nesterov momentum.

    Sutskever et al., https://proceedings.mlr.press/v28/sutskever13.html.
    """
    return optax.sgd(learning_rate, momentum, use_nesterov)


@expose("RMSPropOptimizer", module=TF)
def rmsprop(
    learning_rate: float = 0.001,
    decay: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-10,
    centered: bool = False,
) -> optax.GradientTransformation:
    """Gradients divided by the root of the mean of their squares (of their variance if `centered`).

    Hinton, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; with momentum
    Graves, https://arxiv.org/abs/1308.0850, equations 38 to 45. As in TensorFlow the mean of squares
    is initialised to one.
    """
    return optax.rmsprop(learning_rate, decay, epsilon, 1.0, centered=centered, momentum=momentum)


@expose("AdagradOptimizer", module=TF)
def adagrad(
    learning_rate: float = 0.01, initial_accumulator_value: float = 0.1
) -> optax.GradientTransformation:
    """Gradients divided by the root of the sum of their squares.

    Duchi et al., https://jmlr.org/papers/v12/duchi11a.html.
    """
    return optax.adagrad(learning_rate, initial_accumulator_value, eps=0.0)


@expose("AdadeltaOptimizer", module=TF)
def adadelta(
    learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-8
) -> optax.GradientTransformation:
    """Gradients rescaled by the RMS of earlier updates: Zeiler, https://arxiv.org/abs/1212.5701."""
    return optax.adadelta(learning_rate, rho, epsilon)


class SlotState(NamedTuple):
    """The number of updates so far, and trees of the same structure as the parameters."""

    updates: Array
    slots: tuple[Tree, ...]


def with_slots(step: Callable[..., tuple[Array, ...]], *initial: float) -> optax.GradientTransformation:
    """An optimiser defined by the new values of a variable and its slots, as in TensorFlow.

    Args:
      step: maps a variable, its gradient, the number of this update (from 1) and the slots to the new value
        of the variable and the new slots.
      initial: the initial value of each slot.
    """

    def init(params):
        slots = [jax.tree.map(lambda x, value=value: jnp.full_like(x, value), params) for value in initial]
        return SlotState(jnp.zeros((), jnp.int32), tuple(slots))

    def update(gradients, state, params=None):
        assert params is not None
        count = state.updates + 1

        def change(x, gradient, *slots):
            new, *new_slots = step(x, gradient, count, *slots)
            return new - x, *new_slots

        changed = jax.tree.map(change, params, gradients, *state.slots)
        inner = jax.tree.structure((0, *initial))
        updates, *slots = jax.tree.transpose(jax.tree.structure(params), inner, changed)
        return updates, SlotState(count, tuple(slots))

    return optax.GradientTransformation(init, update)


def shrink(x: Array, amount: Array | float) -> Array:
    """Moves each value towards zero by `amount`, at most to zero: the proximal map of an L1 penalty."""
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - amount, 0)


@expose("FtrlOptimizer", module=TF)
def ftrl(
    learning_rate: float,
    learning_rate_power: float = -0.5,
    initial_accumulator_value: float = 0.1,
    l1_regularization_strength: float = 0.0,
    l2_regularization_strength: float = 0.0,
    l2_shrinkage_regularization_strength: float = 0.0,
) -> optax.GradientTransformation:
    """FTRL-Proximal: McMahan et al., https://doi.org/10.1145/2487575.2488200.

    The initial weights are mostly forgotten in the first update. The shrinkage is an L2 penalty that is added
    to the gradient. The learning rate must not be 0.
    """
    l1, l2 = l1_regularization_strength, l2_regularization_strength

    def step(x, gradient, count, accumulated, linear):
        del count
        total = accumulated + gradient**2
        before, now = (sum_**-learning_rate_power / learning_rate for sum_ in (accumulated, total))
        linear = linear + gradient + 2 * l2_shrinkage_regularization_strength * x - (now - before) * x
        return -shrink(linear, l1) / (now + 2 * l2), total, linear

    return with_slots(step, initial_accumulator_value, 0.0)


@expose("AdagradDAOptimizer", module=TF)
def adagrad_da(
    learning_rate: float,
    initial_gradient_squared_accumulator_value: float = 0.1,
    l1_regularization_strength: float = 0.0,
    l2_regularization_strength: float = 0.0,
) -> optax.GradientTransformation:
    """Adagrad with dual averaging: Duchi et al., https://jmlr.org/papers/v12/duchi11a.html.

    The weights are a function of the sum of all gradients, so the first update replaces the initial weights.
    The count of updates stands for TensorFlow's `global_step`.
    """

    def step(x, gradient, count, sum_, squares):
        del x
        sum_, squares = sum_ + gradient, squares + gradient**2
        shrunk = shrink(sum_, l1_regularization_strength * count)
        scale = l2_regularization_strength * count * learning_rate + jnp.sqrt(squares)
        return -learning_rate * shrunk / scale, sum_, squares

    return with_slots(step, 0.0, initial_gradient_squared_accumulator_value)


@expose("ProximalGradientDescentOptimizer", module=TF)
def proximal_gradient_descent(
    learning_rate: float, l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0
) -> optax.GradientTransformation:
    """Gradient descent with proximal L1 and L2 penalties, FOBOS.

    Duchi and Singer, https://jmlr.org/papers/v10/duchi09a.html.
    """

    def step(x, gradient, count):
        del count
        moved = shrink(x - learning_rate * gradient, learning_rate * l1_regularization_strength)
        return (moved / (1 + learning_rate * l2_regularization_strength),)

    return with_slots(step)


@expose("ProximalAdagradOptimizer", module=TF)
def proximal_adagrad(
    learning_rate: float,
    initial_accumulator_value: float = 0.1,
    l1_regularization_strength: float = 0.0,
    l2_regularization_strength: float = 0.0,
) -> optax.GradientTransformation:
    """FOBOS with the learning rates of Adagrad, which also scale the penalties.

    Duchi and Singer, https://jmlr.org/papers/v10/duchi09a.html.
    """

    def step(x, gradient, count, accumulated):
        del count
        total = accumulated + gradient**2
        rate = learning_rate / jnp.sqrt(total)
        moved = shrink(x - rate * gradient, rate * l1_regularization_strength)
        return moved / (1 + rate * l2_regularization_strength), total

    return with_slots(step, initial_accumulator_value)

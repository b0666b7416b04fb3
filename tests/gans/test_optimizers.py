"""Each optimiser takes the steps that TensorFlow 1's documentation describes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compare_gan.gans import optimizers

RATE, STEPS = 0.1, 6
GRADIENTS = np.random.RandomState(0).standard_normal((STEPS, 5)) * [1, 10, 0.1, 1e-3, 0]  # one of them zero


def ours(optimizer: optax.GradientTransformation) -> np.ndarray:
    x = jnp.ones(5)
    state = optimizer.init(x)
    path = []
    for gradient in GRADIENTS:
        updates, state = jax.jit(optimizer.update)(jnp.float32(gradient), state, x)
        x = optax.apply_updates(x, updates)
        path.append(x)
    return np.array(path)


def walk(step) -> np.ndarray:
    """The path of `step(x, gradient, t)` from one."""
    x, path = np.ones(5), []
    for t, gradient in enumerate(GRADIENTS, 1):
        x = step(x, gradient, t)
        path.append(x)
    return np.array(path)


def gradient_descent():
    return walk(lambda x, g, t: x - RATE * g)


def adam(beta1=0.9, beta2=0.999, epsilon=1e-8):
    m, v = np.zeros(5), np.zeros(5)

    def step(x, g, t):
        m[:] = beta1 * m + (1 - beta1) * g
        v[:] = beta2 * v + (1 - beta2) * g * g
        power1, power2 = np.float32(beta1) ** t, np.float32(beta2) ** t  # TensorFlow keeps them in float32
        return x - RATE * np.sqrt(1 - power2) / (1 - power1) * m / (np.sqrt(v) + epsilon)

    return walk(step)


def momentum(momentum, use_nesterov=False):
    sum_ = np.zeros(5)

    def step(x, g, t):
        sum_[:] = momentum * sum_ + g
        return x - RATE * (g + momentum * sum_ if use_nesterov else sum_)

    return walk(step)


def rmsprop(decay=0.9, momentum=0.0, epsilon=1e-10, centered=False):
    square, mean, moving = np.ones(5), np.zeros(5), np.zeros(5)

    def step(x, g, t):
        square[:] = decay * square + (1 - decay) * g * g
        mean[:] = decay * mean + (1 - decay) * g
        variance = square - mean * mean * centered
        moving[:] = momentum * moving + RATE * g / np.sqrt(variance + epsilon)
        return x - moving

    return walk(step)


def adagrad(initial_accumulator_value=0.1):
    sum_ = np.full(5, initial_accumulator_value)

    def step(x, g, t):
        sum_[:] += g * g
        return x - RATE * g / np.sqrt(sum_)

    return walk(step)


def adadelta(rho=0.95, epsilon=1e-8):
    square, updates = np.zeros(5), np.zeros(5)

    def step(x, g, t):
        square[:] = rho * square + (1 - rho) * g * g
        update = np.sqrt(updates + epsilon) / np.sqrt(square + epsilon) * g
        updates[:] = rho * updates + (1 - rho) * update * update
        return x - RATE * update

    return walk(step)


def ftrl(power=-0.5, initial=0.1, l1=0.0, l2=0.0, shrinkage=0.0):
    """Follows TensorFlow's documentation of the operations ApplyFtrl and ApplyFtrlV2."""
    accumulated, linear = np.full(5, initial), np.zeros(5)

    def step(x, g, t):
        new = accumulated + g * g
        linear[:] += g + 2 * shrinkage * x - (new**-power - accumulated**-power) / RATE * x
        quadratic = 1 / (new**power * RATE) + 2 * l2
        accumulated[:] = new
        return np.where(np.abs(linear) > l1, (np.sign(linear) * l1 - linear) / quadratic, 0)

    return walk(step)


def adagrad_da(initial=0.1, l1=0.0, l2=0.0):
    """Minimises the average of linear losses plus penalties in closed form: Duchi et al., equation 24."""
    sum_, squares = np.zeros(5), np.full(5, initial)

    def step(x, g, t):
        sum_[:] += g
        squares[:] += g * g
        mean, curvature = sum_ / t, np.sqrt(squares) / (t * RATE) + l2
        return np.where(np.abs(mean) > l1, -(mean - l1 * np.sign(mean)) / curvature, 0)

    return walk(step)


def proximal_gradient_descent(l1=0.0, l2=0.0):
    return walk(lambda x, g, t: proximal(x - RATE * g, RATE, l1, l2))


def proximal_adagrad(initial=0.1, l1=0.0, l2=0.0):
    sum_ = np.full(5, initial)

    def step(x, g, t):
        sum_[:] += g * g
        rates = RATE / np.sqrt(sum_)
        return [proximal(x_ - rate * g_, rate, l1, l2) for x_, g_, rate in zip(x, g, rates, strict=True)]

    return walk(lambda x, g, t: np.array(step(x, g, t)))


def proximal(v, rate, l1, l2):
    """The minimum over x of (x - v)^2 / (2 rate) + l1 |x| + l2 x^2 / 2, on the three pieces of |x|."""
    pieces = [(v - rate * l1) / (1 + rate * l2), (v + rate * l1) / (1 + rate * l2), np.zeros_like(v)]
    pieces = [np.maximum(pieces[0], 0), np.minimum(pieces[1], 0), pieces[2]]
    values = [(x - v) ** 2 / (2 * rate) + l1 * np.abs(x) + l2 * x**2 / 2 for x in pieces]
    return np.choose(np.argmin(values, axis=0), pieces)


TF_NAMES = {
    "power": "learning_rate_power",
    "initial": "initial_accumulator_value",
    "l1": "l1_regularization_strength",
    "l2": "l2_regularization_strength",
    "shrinkage": "l2_shrinkage_regularization_strength",
}


@pytest.mark.parametrize(
    "reference, options",
    [
        (ftrl, {}),
        (ftrl, {"power": -0.7, "initial": 1.0, "l1": 0.05, "l2": 0.3}),
        (ftrl, {"shrinkage": 0.1, "l1": 0.01}),
        (adagrad_da, {}),
        (adagrad_da, {"initial": 1.0, "l1": 0.05, "l2": 0.3}),
        (proximal_gradient_descent, {}),
        (proximal_gradient_descent, {"l1": 2.0, "l2": 0.3}),
        (proximal_adagrad, {}),
        (proximal_adagrad, {"initial": 1.0, "l1": 0.5, "l2": 0.3}),
    ],
)
def test_an_optimiser_with_penalties_takes_the_documented_steps(reference, options):
    names = dict(TF_NAMES)
    if reference is adagrad_da:
        names["initial"] = "initial_gradient_squared_accumulator_value"
    optimizer = getattr(optimizers, reference.__name__)(RATE, **{names[key]: options[key] for key in options})
    np.testing.assert_allclose(ours(optimizer), reference(**options), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    "reference, options",
    [
        (gradient_descent, {}),
        (adam, {}),
        (adam, {"beta1": 0.0, "epsilon": 1e-3}),
        (momentum, {"momentum": 0.9}),
        (momentum, {"momentum": 0.5, "use_nesterov": True}),
        (rmsprop, {}),
        (rmsprop, {"momentum": 0.5, "epsilon": 0.1, "decay": 0.5}),
        (rmsprop, {"centered": True, "momentum": 0.9}),
        (adagrad, {}),
        (adagrad, {"initial_accumulator_value": 1.0}),
        (adadelta, {}),
        (adadelta, {"rho": 0.5, "epsilon": 1e-2}),
    ],
)
def test_an_optimiser_takes_the_documented_steps(reference, options):
    optimizer = getattr(optimizers, reference.__name__)(RATE, **options)
    np.testing.assert_allclose(ours(optimizer), reference(**options), rtol=2e-6, atol=1e-6)

"""TensorFlow 1's optimisers, with its names, formulas and defaults, for compare_gan's configurations.

Optax's own optimisers are exposed under their own names, such as `@optax.adam`.
"""

import jax
import jax.numpy as jnp
import optax

from compare_gan.core.registry import expose

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

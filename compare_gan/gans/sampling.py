"""Distributions of latent vectors and labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from compare_gan.core.registry import expose
from compare_gan.core.types import Array

Prior = Callable[[Array, tuple[int, ...]], Array]  # key, shape -> latent vectors


@expose("uniform", module="tf.random")
def uniform(rng: Array, shape: tuple[int, ...], minval: float = -1.0, maxval: float = 1.0) -> Array:
    """Uniform in [minval, maxval); compare_gan's default prior."""
    return jax.random.uniform(rng, shape, jnp.float32, minval, maxval)


@expose("normal", module="tf.random")
def normal(rng: Array, shape: tuple[int, ...], stddev: float = 1.0, mean: float = 0.0) -> Array:
    """Gaussian."""
    return mean + stddev * jax.random.normal(rng, shape, jnp.float32)


@expose("truncated_normal", module="tf.random")
def truncated_normal(rng: Array, shape: tuple[int, ...], stddev: float = 1.0, mean: float = 0.0) -> Array:
    """Gaussian truncated at two standard deviations: the truncation trick of BigGAN.

    Brock et al., https://arxiv.org/abs/1809.11096, section 3.1. `stddev` is that of the Gaussian before
    truncation.
    """
    return mean + stddev * jax.random.truncated_normal(rng, -2, 2, shape, jnp.float32)


def random_labels(rng: Array, count: int, num_classes: int) -> Array:
    """One-hot labels [count, K], uniform over the classes."""
    return jax.nn.one_hot(jax.random.randint(rng, (count,), 0, num_classes), num_classes)

"""Distributions of latent vectors and labels."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

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


@functools.partial(jax.jit, static_argnums=(0, 1))
def latents(prior: Prior, z_dim: int, seed: Array, indices: Array) -> Array:
    """Latent vectors [B, Z] of images with indices [B]; each depends only on the seed and its index."""
    root = jax.random.key(seed)
    return jax.vmap(lambda i: prior(jax.random.fold_in(root, i), (z_dim,)))(indices)


def describe_prior(prior: Prior) -> dict[str, Any]:
    """The name of a prior and its numbers, such as {"name": "normal", "stddev": 1.0, "mean": 0.0}."""
    function = prior.func if isinstance(prior, functools.partial) else prior
    name = getattr(function, "__name__", type(function).__name__)
    if getattr(function, "__module__", None) != __name__:
        name = f"{function.__module__}.{name}"
    values = {each.name: each.default for each in inspect.signature(prior).parameters.values()}
    return {"name": name} | {k: float(v) for k, v in values.items() if isinstance(v, int | float)}


def random_labels(rng: Array, count: int, num_classes: int) -> Array:
    """One-hot labels [count, K], uniform over the classes."""
    return jax.nn.one_hot(jax.random.randint(rng, (count,), 0, num_classes), num_classes)

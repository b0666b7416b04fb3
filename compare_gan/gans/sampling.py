"""Distributions of latent vectors and labels."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from compare_gan.core.errors import UserError
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


@expose("gamma", module="tf.random")
def gamma(rng: Array, shape: tuple[int, ...], *, alpha: float, beta: float | None = None) -> Array:
    """Gamma distribution with density proportional to z^(alpha - 1) exp(-beta z); `beta` is 1 if None.

    Raises:
      UserError: `alpha` or `beta` is not positive.
    """
    beta = 1.0 if beta is None else beta
    if alpha <= 0 or beta <= 0:
        raise UserError(f"tf.random.gamma has alpha {alpha} and beta {beta}; both must be more than 0")
    return jax.random.gamma(rng, alpha, shape, jnp.float32) / beta


@expose("poisson", module="tf.random")
def poisson(rng: Array, shape: tuple[int, ...], *, lam: float) -> Array:
    """Poisson distribution with mean `lam`.

    Raises:
      UserError: `lam` is negative.
    """
    if lam < 0:
        raise UserError(f"tf.random.poisson.lam is {lam}; it must be at least 0")
    return jax.random.poisson(rng, lam, shape).astype(jnp.float32)


@expose("categorical", module="tf.random")
def categorical(rng: Array, shape: tuple[int, ...], *, logits: tuple[float, ...]) -> Array:
    """Class numbers 0 to K - 1 with probabilities softmax(`logits`), independent in each coordinate.

    Raises:
      UserError: `logits` is empty.
    """
    if not logits:
        raise UserError("tf.random.categorical.logits is empty; it must have a logit for each class")
    return jax.random.categorical(rng, jnp.asarray(logits, jnp.float32), shape=shape).astype(jnp.float32)


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


def check_prior(prior: Prior, z_dim: int) -> None:
    """Calls a prior abstractly, so that invalid parameters fail early.

    Raises:
      UserError: a parameter of the prior is invalid.
    """
    jax.eval_shape(lambda key: prior(key, (1, z_dim)), jax.random.key(0))


def random_labels(rng: Array, count: int, num_classes: int) -> Array:
    """One-hot labels [count, K], uniform over the classes."""
    return jax.nn.one_hot(jax.random.randint(rng, (count,), 0, num_classes), num_classes)

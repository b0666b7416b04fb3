"""What TensorFlow 1 itself put into compare_gan's numbers, to be put into ours before they are compared.

None of it is meant by compare_gan; each is the reason why a number there differs from the same
formula computed elsewhere.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array, GANState, NetState, Tree
from compare_gan.gans import step
from compare_gan.nn.norms import LayerNorm

from .reference import uniform


@contextlib.contextmanager
def layer_norm_moments() -> Iterator[None]:
    """`tf.nn.moments` holds the mean constant inside the variance.

    First derivatives are right all the same; second ones, which the gradient of a gradient penalty
    needs, are off by some 1e-4 of their size.
    """

    def as_tensorflow(self: LayerNorm, x: Array) -> Array:
        axes = tuple(range(1, x.ndim))
        mean = x.mean(axes, keepdims=True)
        variance = jnp.mean((x - jax.lax.stop_gradient(mean)) ** 2, axes, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-12) * self.gamma[...] + self.beta[...]

    with patch.object(LayerNorm, "__call__", as_tensorflow):
        yield


@contextlib.contextmanager
def given_coefficients() -> Iterator[None]:
    """The numbers that were put in the place of TensorFlow's random ones."""
    with patch.object(jax.random, "uniform", lambda rng, shape, *_: jnp.asarray(uniform(77, shape))):
        yield

"""Where latent vectors and labels come from."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from compare_gan.core.registry import expose
from compare_gan.core.types import Array

Prior = Callable[[Array, tuple[int, ...]], Array]  # key, shape -> latent vectors


@expose("uniform", module="tf.random")
def uniform(rng: Array, shape: tuple[int, ...], minval: float = -1.0, maxval: float = 1.0) -> Array:
    """Even between `minval` and `maxval`; compare_gan's default prior."""
    return jax.random.uniform(rng, shape, jnp.float32, minval, maxval)


@expose("normal", module="tf.random")
def normal(rng: Array, shape: tuple[int, ...], stddev: float = 1.0) -> Array:
    """Gaussian of mean zero."""
    return stddev * jax.random.normal(rng, shape, jnp.float32)


def random_labels(rng: Array, count: int, num_classes: int) -> Array:
    """[count, K] one-hot labels, all classes alike."""
    return jax.nn.one_hot(jax.random.randint(rng, (count,), 0, num_classes), num_classes)

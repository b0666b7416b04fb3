"""Penalties on the discriminator's weights, and no penalty."""

import jax
import jax.numpy as jnp

from compare_gan.core.registry import PENALTIES
from compare_gan.core.types import Array, PenaltyInputs
from compare_gan.penalties.gradient import LIB


@PENALTIES.register("no_penalty", module=LIB)
def no_penalty(p: PenaltyInputs) -> Array:
    """Zero."""
    del p
    return jnp.zeros((), jnp.float32)


@PENALTIES.register("l2_penalty", module=LIB)
def l2_penalty(p: PenaltyInputs) -> Array:
    """Mean over all kernels (heads included) of half the sum of squares, as in compare_gan."""
    kernels = [leaf for path, leaf in jax.tree.leaves_with_path(p.params) if path[-1].key == "kernel"]
    return jnp.mean(jnp.stack([0.5 * jnp.sum(kernel**2) for kernel in kernels]))

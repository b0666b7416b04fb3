"""Penalties on the discriminator's weights, and no penalty."""

import jax
import jax.numpy as jnp

from compare_gan.core.registry import PENALTIES
from compare_gan.core.types import Array, PenaltyInputs, Tree
from compare_gan.penalties.gradient import LIB


@PENALTIES.register("no_penalty", module=LIB)
def no_penalty(p: PenaltyInputs) -> Array:
    """Zero."""
    del p
    return jnp.zeros((), jnp.float32)


@PENALTIES.register("l2_penalty", module=LIB)
def l2_penalty(p: PenaltyInputs) -> Array:
    """Mean over all kernels (heads included) of half the sum of squares, as in compare_gan."""
    return jnp.mean(jnp.stack([0.5 * jnp.sum(kernel**2) for kernel in kernels(p.params)]))


@PENALTIES.register("orthogonal_penalty")
def orthogonal_penalty(p: PenaltyInputs) -> Array:
    """Distance of all kernels (heads included) from orthogonal columns of any length.

    Brock et al., https://arxiv.org/abs/1809.11096, equation 3, with the factor 1/2 of the authors' code.
    For the generator there is the optimiser `@orthogonal_regularization`.
    """
    return non_orthogonality(p.params)


def non_orthogonality(params: Tree) -> Array:
    """Half the sum of squared inner products of different columns, over all kernels [..., columns]."""

    def one(kernel: Array) -> Array:
        w = kernel.reshape(-1, kernel.shape[-1])
        gram = (
            w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        )  # the smaller one; its sum of squares is equal
        return 0.5 * (jnp.sum(gram**2) - jnp.sum(jnp.sum(w**2, 0) ** 2))

    return jnp.sum(jnp.stack([one(kernel) for kernel in kernels(params)]))


def kernels(params: Tree) -> list[Array]:
    """All kernels of a network, [..., columns]."""
    return [leaf for path, leaf in jax.tree.leaves_with_path(params) if path[-1].key == "kernel"]

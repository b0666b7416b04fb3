"""Gradient accumulation: a batch that does not fit into memory is processed in microbatches.

Batch norm uses the statistics of each microbatch, known as ghost batch norm: Hoffer et al.,
https://arxiv.org/abs/1705.08741.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array, Tree


def accumulate_microbatches(
    fn: Callable[[Any, Array | int], tuple[Tree, Tree]], batch: Any, parts: int
) -> tuple[Tree, Tree]:
    """Applies `fn` to equal microbatches one after the other.

    Microbatch i of n has the rows i, i + n, i + 2n, ... of the batch. So every device holds an equal share of
    each microbatch, and the last rows of all microbatches are the last rows of the batch, which the rotation
    task uses. In reverse-mode differentiation `fn` is recomputed for each microbatch.

    Args:
      fn: maps a microbatch [B / n, ...] and its index to (per-example outputs, microbatch means).
      batch: a pytree of arrays [B, ...].
      parts: n, the number of microbatches, a divisor of B.

    Returns:
      The per-example outputs [B, ...] in the order of the batch, and the mean of the microbatch means. With
      one microbatch this is `fn(batch, 0)`.
    """
    if parts == 1:
        return fn(batch, 0)

    def add(sums: Tree, microbatch: tuple[Any, Array]) -> tuple[Tree, Tree]:
        outputs, means = fn(*microbatch)
        return jax.tree.map(jnp.add, sums, means), outputs

    split = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    _, shapes = jax.eval_shape(fn, jax.tree.map(lambda x: x[0], split), 0)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    sums, outputs = jax.lax.scan(jax.checkpoint(add, prevent_cse=False), zeros, (split, jnp.arange(parts)))
    joined = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), outputs)
    return joined, jax.tree.map(lambda x: x / parts, sums)

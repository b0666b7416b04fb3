"""A batch that is too large for the memory, taken in parts.

Batch norm sees one part at a time; Hoffer et al., https://arxiv.org/abs/1705.08741, call that ghost batch
norm.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array, Tree


def accumulate_microbatches(
    fn: Callable[[Any, Array | int], tuple[Tree, Tree]], rows: Any, parts: int
) -> tuple[Tree, Tree]:
    """`fn` of a batch, computed in equal parts one after the other.

    The i-th of n parts has every n-th row, from the i-th on. So each device has its share of every part, and
    the last rows of all parts together are the last rows of the batch, which a task may be about. What
    is differentiated with respect to something outside is computed again, part by part.

    Args:
      fn: from rows [B / n, ...] and the number of the part to rows again, and to means over the part.
      rows: a tree of arrays [B, ...].
      parts: n, a divisor of B.

    Returns:
      What `fn` gives for the whole batch: rows in their order, and the means of the means. With one part
      this is `fn(rows, 0)`.
    """
    if parts == 1:
        return fn(rows, 0)

    def add(sums: Tree, given: tuple[Any, Array]) -> tuple[Tree, Tree]:
        results, means = fn(*given)
        return jax.tree.map(jnp.add, sums, means), results

    cut = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), rows)
    _, shapes = jax.eval_shape(fn, jax.tree.map(lambda x: x[0], cut), 0)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    sums, results = jax.lax.scan(jax.checkpoint(add, prevent_cse=False), zeros, (cut, jnp.arange(parts)))
    whole = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), results)
    return whole, jax.tree.map(lambda x: x / parts, sums)

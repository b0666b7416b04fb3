"""Memory for arithmetic: what a block computes is forgotten, and computed again for the gradient.

Chen et al., https://arxiv.org/abs/1604.06174. On a CPU XLA's temporaries were as large with it as
without; it has not been measured on a GPU. Batches in parts need less memory everywhere.
"""

import functools
from collections.abc import Callable
from typing import Any

from flax import nnx

from compare_gan.core.types import Array, Cond


def maybe_remat(call: Callable[[Any, Array, Cond], Array]) -> Callable[[Any, Array, Cond], Array]:
    """Decorates `__call__(self, x, cond)` of a block: where `Cond.remat` is set only x is kept."""

    @functools.wraps(call)
    def wrapper(self: Any, x: Array, cond: Cond) -> Array:
        if not cond.remat:
            return call(self, x, cond)
        again = nnx.remat(lambda block, x, z, y: call(block, x, cond._replace(z=z, y=y)))
        return again(self, x, cond.z, cond.y)

    return wrapper

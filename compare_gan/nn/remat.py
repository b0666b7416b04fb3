"""Rematerialisation: a block's activations are recomputed in the backward pass instead of stored.

Chen et al., https://arxiv.org/abs/1604.06174. On a CPU it does not reduce the size of XLA's temporaries; it
has not been measured on a GPU. Gradient accumulation reduces memory everywhere.
"""

import functools
from collections.abc import Callable
from typing import Any

from flax import nnx

from compare_gan.core.types import Array, Cond


def maybe_remat(call: Callable[[Any, Array, Cond], Array]) -> Callable[[Any, Array, Cond], Array]:
    """Decorator of a block's `__call__(self, x, cond)`: if `cond.remat`, only x is stored for backward."""

    @functools.wraps(call)
    def wrapper(self: Any, x: Array, cond: Cond) -> Array:
        if not cond.remat:
            return call(self, x, cond)
        again = nnx.remat(lambda block, x, z, y: call(block, x, cond._replace(z=z, y=y)))
        return again(self, x, cond.z, cond.y)

    return wrapper

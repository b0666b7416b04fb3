"""Random streams for the constructors of networks."""

import jax
from flax import nnx

from compare_gan.core.types import Array


class _Stream(nnx.RngStream):
    """An `nnx.RngStream` that is fast to trace.

    Flax's `count[...] += 1` asks for the sharding of a traced array. JAX answers with an error whose message
    takes time in proportion to the length of the program so far.
    """

    def __call__(self) -> Array:
        count = self.count[...]
        self.count.set_value(count + 1)
        return jax.random.fold_in(self.key[...], count)


def random_streams(key: Array | int) -> nnx.Rngs:
    """`nnx.Rngs(key)`, with the same keys, for networks that are created inside `jax.jit` or `eval_shape`."""
    rngs = nnx.Rngs()
    setattr(rngs, "default", _Stream(key, tag="default"))  # noqa: B010  (nnx.Rngs declares no attributes)
    return rngs

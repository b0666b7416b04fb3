"""Splits the latent vector and the label into the conditioning inputs of a generator's blocks."""

import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond
from compare_gan.nn.options import CondDims


def block_dims(dims: CondDims, blocks: int, hierarchical: bool) -> CondDims:
    """Lengths of the vectors that `block_conds` passes to each block; the first layer's z is as long.

    Raises:
      UserError: z does not divide into `blocks + 1` chunks.
    """
    if not hierarchical:
        return dims
    chunk, rest = divmod(dims.z, blocks + 1)
    if rest:
        raise UserError(
            f"options.z_dim is {dims.z}; with hierarchical_z it must be a multiple of {blocks + 1}"
        )
    return CondDims(chunk, chunk + dims.y if dims.y else 0)


def block_conds(cond: Cond, blocks: int, hierarchical: bool) -> tuple[Array, list[Cond]]:
    """The input of the first linear layer, and the conditioning inputs of each block.

    These are z and the label unchanged. If `hierarchical`, the first layer and each block get one chunk of z
    each, and a block's label is concatenated with its chunk.
    """
    if not hierarchical:
        return cond.z, [cond] * blocks
    first, *rest = jnp.split(cond.z, blocks + 1, axis=1)
    if cond.y is None:
        return first, [cond._replace(z=chunk) for chunk in rest]
    return first, [cond._replace(z=chunk, y=jnp.concatenate([chunk, cond.y], 1)) for chunk in rest]

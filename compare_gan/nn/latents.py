"""How the latent vector and the label reach the blocks of a generator."""

import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond
from compare_gan.nn.options import CondDims


def block_dims(dims: CondDims, blocks: int, hierarchical: bool) -> CondDims:
    """Lengths of what `block_conds` gives each block; its first part is as long as their z.

    Raises:
      UserError: z does not divide into chunks.
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
    """What the first linear layer sees of z, and what conditions each block.

    That is z and the label as they are; or, in a hierarchy, a chunk of z each, and the label
    together with that chunk.
    """
    if not hierarchical:
        return cond.z, [cond] * blocks
    first, *rest = jnp.split(cond.z, blocks + 1, axis=1)
    if cond.y is None:
        return first, [cond._replace(z=chunk) for chunk in rest]
    return first, [cond._replace(z=chunk, y=jnp.concatenate([chunk, cond.y], 1)) for chunk in rest]

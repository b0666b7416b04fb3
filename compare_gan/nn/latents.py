"""How the latent vector and the label reach the blocks of a generator."""

import jax.numpy as jnp

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Cond
from compare_gan.nn.norms import CondDims


def block_dims(z_dim: int, y_dim: int, blocks: int, hierarchical: bool) -> CondDims:
    """Lengths of what `block_conds` gives each block; its first part is as long as their z.

    Raises:
      UserError: z does not divide into chunks.
    """
    if not hierarchical:
        return CondDims(z_dim, y_dim)
    if z_dim % (blocks + 1):
        raise UserError(
            f"options.z_dim is {z_dim}; with hierarchical_z it must be a multiple of {blocks + 1}"
        )
    chunk = z_dim // (blocks + 1)
    return CondDims(chunk, chunk + y_dim if y_dim else 0)


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

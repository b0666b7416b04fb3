"""Conversion between NNX modules and plain pytrees of arrays.

A network is a static graph definition and a pytree of arrays, so that a training step is an ordinary
function of arrays under `jax.jit` and `jax.grad`.
"""

import hashlib
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec

from compare_gan.core.placement import FSDP
from compare_gan.core.types import NetState, Tree


def net_state(network: object) -> NetState:
    """The arrays of an NNX module as nested dictionaries."""
    params, extra = nnx.state(network, nnx.Param, ...)
    return NetState(nnx.to_pure_dict(params), nnx.to_pure_dict(extra))


def merge_module(definition: nnx.GraphDef, params: Tree, extra: Tree) -> Any:
    """A network with copies of these arrays, so that its in-place updates stay local."""
    params, extra = unshard((params, extra))
    return nnx.merge(definition, nnx.State(params), nnx.State(extra), copy=True)


def unshard(tree: Tree) -> Tree:
    """Gathers arrays that may be sharded over the fsdp axis; see `compare_gan.core.placement`.

    This takes effect inside a compiled program with an abstract mesh; elsewhere it returns arrays unchanged.
    Gradients with respect to the gathered arrays are replicated; the compiler may reduce-scatter them, since
    each device updates only its own shard.
    """
    if jax.sharding.get_abstract_mesh().shape.get(FSDP, 1) == 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def replace_spectral_vectors(source: Tree, extra: Tree) -> Tree:
    """The non-trainable state `extra` of a network, with the spectral vectors of `source`."""
    return jax.tree.map_with_path(lambda path, a, b: b if path[-1].key == "u" else a, extra, source)


def digest(tree: Tree) -> str:
    """SHA-256 of the bytes of all arrays of a pytree, in the order of its leaves."""
    sha256 = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        sha256.update(np.ascontiguousarray(leaf).tobytes())
    return sha256.hexdigest()

"""Between NNX modules and plain trees of arrays.

The definition of a network is static Python and its arrays are a pytree, so that a training
step is an ordinary function of arrays under `jax.jit` and `jax.grad`.
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
    """A network over copies of these arrays: what it updates does not leak."""
    params, extra = unshard((params, extra))
    return nnx.merge(definition, nnx.State(params), nnx.State(extra), copy=True)


def unshard(tree: Tree) -> Tree:
    """Arrays that may lie in parts, on every device as a whole; see `compare_gan.core.placement`.

    Inside a compiled program that is told of the mesh; elsewhere arrays stay as they are. Gradients come
    back whole, and the compiler sums only the part of each that its device updates.
    """
    if jax.sharding.get_abstract_mesh().shape.get(FSDP, 1) == 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def replace_spectral_vectors(source: Tree, extra: Tree) -> Tree:
    """The statistics `extra` of a network, with the spectral vectors of `source`."""
    return jax.tree.map_with_path(lambda path, a, b: b if path[-1].key == "u" else a, extra, source)


def digest(tree: Tree) -> str:
    """SHA-256 of all arrays of a pytree, in its order."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()

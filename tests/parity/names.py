"""compare_gan's values in the places of our networks; `compare_gan.tf1.names` has the places."""

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
from flax import nnx, traverse_util

from compare_gan.core.types import NetState
from compare_gan.nn.state import net_state
from compare_gan.tf1.names import SCOPES, SWITCH, Path, inside, place

from .reference import fill

__all__ = ["SCOPES", "SWITCH", "Path", "at", "filled", "inside", "place"]

Variable = tuple[str, list[int], bool]  # name, shape, trainable
LEARNED = (
    "/gamma",
    "/beta",
)  # always trained here; there, a layer norm only if it is first built for training


def filled(
    network: nnx.Module | NetState,
    variables: Iterable[Variable],
    where: Callable[[str], Path],
    values: bool = True,
) -> NetState:
    """compare_gan's values in the places of a network's arrays, or of its shapes; or only the places.

    Raises:
      AssertionError: the two do not have the same variables, shapes and trainable ones.
    """
    shapes = network if isinstance(network, NetState) else net_state(network)
    params, extra = traverse_util.flatten_dict(shapes.params), traverse_util.flatten_dict(shapes.extra)
    new: dict[bool, dict[Path, Any]] = {True: {}, False: {}}
    for name, shape, trainable in variables:
        if name.endswith(SWITCH):
            continue
        path, trainable = where(name), trainable or name.endswith(LEARNED)
        assert path in (params if trainable else extra), f"{name}: no {path} here"
        assert (params if trainable else extra)[path].shape == tuple(shape), name
        assert path not in new[trainable], f"{name}: {path} is taken"
        new[trainable][path] = jnp.asarray(fill(name, shape)) if values else name
    missing = (params.keys() - new[True].keys()) | (extra.keys() - new[False].keys())
    assert not missing, f"compare_gan has nothing for {sorted(map(str, missing))}"
    return NetState(*(traverse_util.unflatten_dict(new[trainable]) for trainable in (True, False)))


def at(tree: Any, path: Path) -> Any:
    """The leaf of a nested dictionary at a path."""
    for key in path:
        tree = tree[key]
    return tree

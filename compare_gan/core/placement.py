"""Where things live: batches split over all devices, the state whole on each or in parts over some."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Tree

DATA, FSDP = "data", "fsdp"
ROWS = (DATA, FSDP)  # a batch is split over both


@dataclasses.dataclass(frozen=True)
class Placement:
    """A mesh with two axes. All processes take part, each with its own slice of a batch.

    Along "data" each group of devices has a copy of the state of its own. Along "fsdp" the devices of a
    group share one: weights, averages and the optimiser's moments lie in parts, and weights are put together
    where a network computes with them (`compare_gan.nn.state.bind`). A group is made of neighbours: of
    devices of one process as long as it has enough of them.

    Rajbhandari et al., https://arxiv.org/abs/1910.02054; Zhao et al., https://arxiv.org/abs/2304.11277.
    """

    mesh: Mesh
    min_shard_size: int = 2**16  # numbers in an array that is worth splitting

    @classmethod
    def create(cls, devices: list[jax.Device] | None = None, fsdp: int = 1, **options: Any) -> "Placement":
        """All devices, or these, in the order of their processes.

        Raises:
          UserError: `fsdp` does not divide them.
        """
        devices = jax.devices() if devices is None else devices
        if fsdp < 1 or len(devices) % fsdp:
            raise UserError(f"--fsdp is {fsdp}; it must divide the {len(devices)} devices")
        ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
        grid = np.array(ordered).reshape(-1, fsdp)
        return cls(Mesh(grid, ROWS, axis_types=(AxisType.Auto, AxisType.Auto)), **options)

    @property
    def fsdp(self) -> int:
        """How many devices share one copy of the state."""
        return self.mesh.shape[FSDP]

    @property
    def replicated(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def batch_sharding(self) -> NamedSharding:
        """Of arrays [B, ...]."""
        return NamedSharding(self.mesh, PartitionSpec(ROWS))

    @property
    def sub_batches(self) -> NamedSharding:
        """Of arrays [S, B, ...]."""
        return NamedSharding(self.mesh, PartitionSpec(None, ROWS))

    def layout(self, state: Tree) -> Tree:
        """How each array of a state lies: large ones in parts along their longest axis that can be cut."""
        return jax.tree.map(self._stored, state)

    def _stored(self, x: jax.ShapeDtypeStruct) -> NamedSharding:
        lengths = [n if n % self.fsdp == 0 else 0 for n in x.shape]
        if self.fsdp == 1 or not any(lengths) or x.size < self.min_shard_size:
            return self.replicated
        axis = int(np.argmax(lengths))
        return NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, FSDP))

    def shard_batch(self, x: Array) -> Array:
        """Constrains x [B, ...] to be split over several devices, if they divide B."""
        if self.mesh.size == 1 or len(x) % self.mesh.size:
            return x
        return jax.lax.with_sharding_constraint(x, self.batch_sharding)

    def local(self, batch_size: int) -> slice:
        """The part of each batch that this process reads.

        Raises:
          UserError: the batch cannot be split evenly.
        """
        if batch_size % self.mesh.size:
            raise UserError(
                f"options.batch_size is {batch_size}; it must be a multiple of the {self.mesh.size} devices"
            )
        size = batch_size // jax.process_count()
        return slice(jax.process_index() * size, (jax.process_index() + 1) * size)

    def make_global(self, batches: Tree) -> Tree:
        """Joins the processes' NumPy slices [S, B, ...] to arrays over all devices."""
        if jax.process_count() == 1:
            return jax.device_put(batches, self.sub_batches)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self.sub_batches, np.ascontiguousarray(x)),
            batches,
        )

    def replicate(self, tree: Tree) -> Tree:
        """Whole on every device: arrays that lie over these devices, or are the same in all processes."""

        def held(x: Any) -> Array:
            if isinstance(x, jax.Array) and x.sharding.device_set == self.replicated.device_set:
                return x if x.is_fully_replicated else _whole(self.replicated)(x)
            if jax.process_count() == 1:
                return jax.device_put(x, self.replicated)
            return jax.make_array_from_process_local_data(self.replicated, np.asarray(x))

        return jax.tree.map(held, tree)

    def split(self, x: Any) -> Array:
        """An array [B, ...] that is the same in all processes, over the devices, with zeros to fill them."""
        x = np.asarray(x)
        missing = np.zeros((-len(x) % self.mesh.size, *x.shape[1:]), x.dtype)
        x = np.concatenate([x, missing])
        return jax.make_array_from_callback(x.shape, self.batch_sharding, lambda index: x[index])

    def gather(self, tree: Tree) -> Tree:
        """Arrays that lie over these devices in any way, on one device of this process.

        What lies there already is not copied.
        """
        if not all(x.is_fully_replicated for x in jax.tree.leaves(tree)):
            tree = _whole(self.replicated)(tree)
        return jax.tree.map(lambda x: x.addressable_data(0), tree)

    def cache_budget_bytes(self) -> int:
        """Bytes of a data set that a device can spare: a quarter of its memory; on a CPU no limit."""
        device = self.mesh.local_devices[0]
        if device.platform == "cpu":  # what is in memory is on the device already
            return sys.maxsize
        return (device.memory_stats() or {}).get("bytes_limit", 0) // 4


@functools.cache
def _whole(everywhere: NamedSharding) -> Callable[[Tree], Tree]:
    return jax.jit(lambda tree: tree, out_shardings=everywhere)

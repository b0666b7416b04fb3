"""Sharding: batches over all devices; the training state replicated, or sharded over the fsdp axis."""

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
BATCH_AXES = (DATA, FSDP)  # a batch is sharded over both


@dataclasses.dataclass(frozen=True)
class Placement:
    """A device mesh with the axes "data" and "fsdp", and the shardings of batches and state on it.

    Batches are sharded over both axes; with several processes each reads its own slice of a batch. The state
    is replicated along "data" and sharded along "fsdp": weights, their moving average and the optimiser's
    moments. Weights are gathered where a network computes with them (`compare_gan.nn.state.unshard`).
    An fsdp group consists of adjacent devices, those of one process if it has enough.

    Rajbhandari et al., https://arxiv.org/abs/1910.02054; Zhao et al., https://arxiv.org/abs/2304.11277.

    >>> cg.Placement.create().fsdp
    1
    """

    mesh: Mesh
    min_shard_size: int = 2**16  # arrays with fewer elements are replicated

    @classmethod
    def create(cls, devices: list[jax.Device] | None = None, fsdp: int = 1, **options: Any) -> "Placement":
        """A placement on all devices, or on `devices`, ordered by process.

        Raises:
          UserError: `fsdp` does not divide the number of devices.
        """
        devices = jax.devices() if devices is None else devices
        if fsdp < 1 or len(devices) % fsdp:
            raise UserError(f"--fsdp is {fsdp}; it must divide the {len(devices)} devices")
        ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
        grid = np.array(ordered).reshape(-1, fsdp)
        return cls(Mesh(grid, BATCH_AXES, axis_types=(AxisType.Auto, AxisType.Auto)), **options)

    @property
    def fsdp(self) -> int:
        """The number of devices that share one copy of the state."""
        return self.mesh.shape[FSDP]

    @property
    def on_cpu(self) -> bool:
        """Whether the devices are CPUs."""
        return self.mesh.devices.flat[0].platform == "cpu"

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of arrays with a full copy on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def batch_sharding(self) -> NamedSharding:
        """The sharding of arrays [B, ...] over all devices."""
        return NamedSharding(self.mesh, PartitionSpec(BATCH_AXES))

    @property
    def sub_batches(self) -> NamedSharding:
        """The sharding of arrays [S, B, ...]: the second axis over all devices."""
        return NamedSharding(self.mesh, PartitionSpec(None, BATCH_AXES))

    def layout(self, state: Tree) -> Tree:
        """The sharding of each array of a state: large arrays along their longest divisible axis."""
        return jax.tree.map(self._stored, state)

    def _stored(self, x: jax.ShapeDtypeStruct) -> NamedSharding:
        lengths = [n if n % self.fsdp == 0 else 0 for n in x.shape]
        if self.fsdp == 1 or not any(lengths) or x.size < self.min_shard_size:
            return self.replicated
        axis = int(np.argmax(lengths))
        return NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, FSDP))

    def shard_batch(self, x: Array) -> Array:
        """Constrains x [B, ...] to be sharded over all devices.

        Returns `x` unchanged on one device, or if the number of devices does not divide B.
        """
        if self.mesh.size == 1 or len(x) % self.mesh.size:
            return x
        return jax.lax.with_sharding_constraint(x, self.batch_sharding)

    def local(self, batch_size: int) -> slice:
        """The slice of each batch that this process reads.

        Raises:
          UserError: the number of devices does not divide `batch_size`.
        """
        if batch_size % self.mesh.size:
            raise UserError(
                f"options.batch_size is {batch_size}; it must be a multiple of the {self.mesh.size} devices"
            )
        size = batch_size // jax.process_count()
        return slice(jax.process_index() * size, (jax.process_index() + 1) * size)

    def make_global(self, batches: Tree) -> Tree:
        """Global arrays [S, B, ...], sharded by `sub_batches`, from the NumPy slices of all processes."""
        if jax.process_count() == 1:
            return jax.device_put(batches, self.sub_batches)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self.sub_batches, np.ascontiguousarray(x)),
            batches,
        )

    def replicate(self, tree: Tree) -> Tree:
        """Full copies of arrays on every device.

        Each array is a global array on these devices, or has the same value in all processes.
        """

        def full_copy(x: Any) -> Array:
            if isinstance(x, jax.Array) and x.sharding.device_set == self.replicated.device_set:
                return x if x.is_fully_replicated else _replicate_on(self.replicated)(x)
            if jax.process_count() == 1:
                return jax.device_put(x, self.replicated)
            return jax.make_array_from_process_local_data(self.replicated, np.asarray(x))

        return jax.tree.map(full_copy, tree)

    def split(self, x: Any) -> Array:
        """Shards x [B, ...], equal in all processes, over all devices; zero-padded to a multiple of them."""
        x = np.asarray(x)
        missing = np.zeros((-len(x) % self.mesh.size, *x.shape[1:]), x.dtype)
        x = np.concatenate([x, missing])
        return jax.make_array_from_callback(x.shape, self.batch_sharding, lambda index: x[index])

    def gather(self, tree: Tree) -> Tree:
        """Full copies of global arrays, on the first device of this process.

        Arrays that are already replicated are not copied.
        """
        if not all(x.is_fully_replicated for x in jax.tree.leaves(tree)):
            tree = _replicate_on(self.replicated)(tree)
        return jax.tree.map(lambda x: x.addressable_data(0), tree)

    def cache_budget_bytes(self) -> int:
        """Device memory available for a data set, in bytes: a quarter of the total; on a CPU unlimited."""
        device = self.mesh.local_devices[0]
        if device.platform == "cpu":  # host memory is device memory
            return sys.maxsize
        return (device.memory_stats() or {}).get("bytes_limit", 0) // 4


@functools.cache
def _replicate_on(replicated: NamedSharding) -> Callable[[Tree], Tree]:
    return jax.jit(lambda tree: tree, out_shardings=replicated)

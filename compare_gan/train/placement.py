"""Where things live: the state on every device, batches split over them."""

import dataclasses
import sys

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Tree


@dataclasses.dataclass(frozen=True)
class Placement:
    """A mesh with one axis, "data". All processes take part, each with its own slice of a batch."""

    mesh: Mesh

    @classmethod
    def over(cls, devices: list[jax.Device] | None = None) -> "Placement":
        devices = jax.devices() if devices is None else devices
        return cls(jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices))

    @property
    def everywhere(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def chunk(self) -> NamedSharding:
        """Of arrays [steps, sub-batches, B, ...]."""
        return NamedSharding(self.mesh, PartitionSpec(None, None, "data"))

    def spread(self, x: Array) -> Array:
        """Says inside a compiled step that x [B, ...] is split over the devices."""
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, PartitionSpec("data")))

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

    def put(self, chunk: Tree) -> Tree:
        """Joins the processes' NumPy slices [steps, sub-batches, B, ...] to arrays over all devices."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self.chunk, np.ascontiguousarray(x)), chunk
        )

    def hold(self, whole: Tree) -> Tree:
        """NumPy arrays, the same in every process, on every device."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self.everywhere, x), whole)

    def room(self) -> int:
        """Bytes of a data set that a device can spare: a quarter of its memory; on a CPU no limit."""
        device = self.mesh.local_devices[0]
        if device.platform == "cpu":  # what is in memory is on the device already
            return sys.maxsize
        return (device.memory_stats() or {}).get("bytes_limit", 0) // 4

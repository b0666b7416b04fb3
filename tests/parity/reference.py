"""compare_gan's numbers: how to read a case, and the rules that stand for its inputs and weights."""

import dataclasses
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare_gan.tf1.names import AVERAGE

CASES = Path(__file__).parent / "cases"


@dataclasses.dataclass(frozen=True)
class Case:
    """What was built, and what came out."""

    name: str
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def images(self) -> np.ndarray:
        """[B, H, W, C], the real images."""
        return uniform(1, self.image_shape)

    @property
    def generated(self) -> np.ndarray:
        """[B, H, W, C], images that stand for generated ones where there is no generator."""
        return uniform(6, self.image_shape)

    @property
    def image_shape(self) -> tuple[int, ...]:
        side = self.meta["resolution"]
        return self.meta["batch"], side, side, self.meta.get("colors", 3)

    @property
    def z(self) -> np.ndarray:
        shape = self.meta["batch"], self.meta["z_dim"]
        return np.random.RandomState(0).standard_normal(shape).astype(np.float32)

    def labels(self, key: str = "labels") -> np.ndarray | None:
        """[B, K], one-hot or soft; None for a GAN without labels."""
        if not self.meta["conditional"]:
            return None
        labels = np.asarray(self.meta[key])
        return labels.astype(np.float32) if labels.ndim == 2 else one_hot(labels, self.meta["num_classes"])

    def part(self, key: str, full: Any) -> tuple[np.ndarray, np.ndarray]:
        """The stored array of this name, and the same part of a whole result."""
        full = np.asarray(full)
        if key in self.arrays:
            return self.arrays[key], full
        if key + "__stride8" in self.arrays:
            return self.arrays[key + "__stride8"], full[:, ::8, ::8]
        for stored, value in self.arrays.items():
            name, _, step = stored.rpartition("__flatstride")
            if name == key:
                return value, full.reshape(len(full), -1)[:, :: int(step)]
        raise KeyError(f"{self.name}: {key}")

    def named(self, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays whose name begins so, without that beginning."""
        for key, value in self.arrays.items():
            if key.startswith(prefix):
                yield key.removeprefix(prefix), value


def load(name: str, folder: Path = CASES) -> Case:
    with np.load(folder / f"{name}.npz") as arrays:
        return Case(name, json.loads((folder / f"{name}.json").read_text()), dict(arrays))


def uniform(seed: int, shape: Iterable[int]) -> np.ndarray:
    return np.random.RandomState(seed).uniform(size=tuple(shape)).astype(np.float32)


def one_hot(labels: Iterable[int], count: int) -> np.ndarray:
    """A label of -1 gives a row of zeros."""
    return (np.asarray(labels)[:, None] == np.arange(count)).astype(np.float32)


def fill(name: str, shape: Iterable[int]) -> np.ndarray:
    """The value of a variable, or of its moving average: a function of its name and shape."""
    shape, last = tuple(shape), name.removesuffix(AVERAGE).split("/")[-1]
    normal = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    match last:
        case "kernel":
            value = normal / np.sqrt(np.prod(shape[:-1]))
        case "bias" | "beta" | "moving_mean" | "accu_mean":
            value = 0.1 * normal
        case "gamma":
            value = 1 + 0.1 * normal
        case "moving_variance" | "accu_variance":
            value = 1 + 0.1 * np.abs(normal)
        case "u_var":
            value = normal
        case "sigma":
            value = 0.5 + 0.1 * normal
        case "accu_counter":
            value = np.ones(shape)
        case "update_accus":
            value = np.zeros(shape)
        case _:
            raise KeyError(name)
    return np.asarray(value, np.float32)


class Deviation(NamedTuple):
    """How far one result lies from compare_gan's."""

    what: str
    found: float
    allowed: float


def deviation(what: str, reference: Any, ours: Any, relative: float, absolute: float = 0.0) -> Deviation:
    """Largest difference; allowed is `relative` times the largest reference value, plus `absolute`."""
    reference, ours = np.asarray(reference, np.float64), np.asarray(ours, np.float64)
    assert reference.shape == ours.shape, f"{what}: {ours.shape}, compare_gan has {reference.shape}"
    found = float(np.abs(reference - ours).max())
    return Deviation(what, found, relative * float(np.abs(reference).max()) + absolute)


def check(deviations: Iterable[Deviation]) -> None:
    deviations = list(deviations)
    assert deviations
    bad = [
        f"{d.what}: off by {d.found:.2e}, allowed {d.allowed:.2e}"
        for d in deviations
        if not d.found <= d.allowed
    ]
    assert not bad, "\n".join(bad)

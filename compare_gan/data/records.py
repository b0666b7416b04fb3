"""Stored images by index: of any size, decoded on demand."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from compare_gan.data.images import decode, dimensions


class Records(Protocol):
    """Stored images. Methods are deterministic and thread-safe."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> np.ndarray:
        """The pixels, [h, w, 1] or [h, w, 3] uint8. Raises UserError if they cannot be read."""

    def where(self, i: int) -> str:
        """Names the image in error messages."""

    def name(self, i: int) -> str:
        """The name of the image in label files; empty if it has none."""

    def size(self, i: int) -> tuple[int, int]:
        """Height and width, without decoding the pixels. Raises UserError if they cannot be read."""


class Encoded(abc.ABC):
    """Base class for encoded image files."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def data(self, i: int) -> bytes:
        """The bytes of an image file. Raises UserError if they cannot be read."""

    @abc.abstractmethod
    def where(self, i: int) -> str:
        """Names the image in error messages."""

    def name(self, i: int) -> str:
        return ""

    def __getitem__(self, i: int) -> np.ndarray:
        return decode(self.data(i), self.where(i))

    def size(self, i: int) -> tuple[int, int]:
        return dimensions(self.data(i), self.where(i))


@dataclasses.dataclass(frozen=True, eq=False)
class Pixels:
    """Records of an array [N, H, W, C] uint8."""

    array: np.ndarray
    path: str = "image"  # the source, for error messages

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.array[i]

    def where(self, i: int) -> str:
        return f"{self.path}: image {i}"

    def name(self, i: int) -> str:
        return ""

    def size(self, i: int) -> tuple[int, int]:
        return self.array.shape[1:3]


@dataclasses.dataclass(frozen=True, eq=False)
class StoredSplit:
    """One split of a source: records and their labels."""

    records: Records
    labels: np.ndarray  # [N] int32, -1 = unlabelled; or [N, K] float32

    def __len__(self) -> int:
        return len(self.records)

    def select(self, index: np.ndarray) -> "StoredSplit":
        """The images at these indices, in this order."""
        return StoredSplit(_Selected(self.records, index), self.labels[index])


@dataclasses.dataclass(frozen=True, eq=False)
class Contents:
    """The contents of a source, before pixels are read."""

    path: str  # names the source in error messages
    name: str
    train: StoredSplit
    test: StoredSplit | None  # None: hold out some training images
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()  # notes for the user, such as skipped files
    mirror: bool = True  # False: mirrored images mean something else


def joined(splits: Sequence[StoredSplit]) -> StoredSplit:
    """Concatenates several splits. All labels must be class indices."""
    if len(splits) == 1:
        return splits[0]
    records = _Concatenated([split.records for split in splits])
    return StoredSplit(records, np.concatenate([split.labels for split in splits]))


class _Concatenated:
    def __init__(self, pieces: Sequence[Records]):
        self.pieces = pieces
        self.starts = np.cumsum([0, *map(len, pieces)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def _locate(self, i: int) -> tuple[Records, int]:
        number = int(np.searchsorted(self.starts, i, "right")) - 1
        return self.pieces[number], i - int(self.starts[number])

    def __getitem__(self, i: int) -> np.ndarray:
        records, k = self._locate(i)
        return records[k]

    def where(self, i: int) -> str:
        records, k = self._locate(i)
        return records.where(k)

    def name(self, i: int) -> str:
        records, k = self._locate(i)
        return records.name(k)

    def size(self, i: int) -> tuple[int, int]:
        records, k = self._locate(i)
        return records.size(k)


@dataclasses.dataclass(frozen=True, eq=False)
class _Selected:
    records: Records
    index: Sequence[int] | np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.records[int(self.index[i])]

    def where(self, i: int) -> str:
        return self.records.where(int(self.index[i]))

    def name(self, i: int) -> str:
        return self.records.name(int(self.index[i]))

    def size(self, i: int) -> tuple[int, int]:
        return self.records.size(int(self.index[i]))

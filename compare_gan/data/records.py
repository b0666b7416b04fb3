"""Images by number, as a source stores them: any size, nothing decoded before it is asked for."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from compare_gan.data.images import decode, dimensions


class Records(Protocol):
    """Stored images. What these methods say of image i never changes, and any thread may ask."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> np.ndarray:
        """The pixels, [h, w, 1] or [h, w, 3] uint8. Raises UserError if they cannot be read."""

    def where(self, i: int) -> str:
        """What to call the image in an error."""

    def name(self, i: int) -> str:
        """What label files call the image; empty if it has no name."""

    def size(self, i: int) -> tuple[int, int]:
        """Height and width, without decoding the pixels. Raises UserError if they cannot be read."""


class Encoded(abc.ABC):
    """Image files by number, wherever they are kept."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def data(self, i: int) -> bytes:
        """The bytes of an image file. Raises UserError if they cannot be read."""

    @abc.abstractmethod
    def where(self, i: int) -> str:
        """What to call the image in an error."""

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
    path: str = "image"  # what holds them

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
class Part:
    """One split of a source: records, and a label for each."""

    records: Records
    labels: np.ndarray  # [N] int32, -1 = unlabelled; or [N, K] float32

    def __len__(self) -> int:
        return len(self.records)

    def chosen(self, index: np.ndarray) -> "Part":
        """The images of these numbers, in their order."""
        return Part(_Chosen(self.records, index), self.labels[index])


@dataclasses.dataclass(frozen=True, eq=False)
class Contents:
    """What a source was found to hold, before pixels are read."""

    path: str  # what to call the source in an error
    name: str
    train: Part
    test: Part | None  # None: to be held out
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what a user should know: files that were skipped, classes renumbered


def joined(parts: Sequence[Part]) -> Part:
    """The images of several parts, one part after another. Labels must all be class indices."""
    if len(parts) == 1:
        return parts[0]
    records = _Joined([part.records for part in parts])
    return Part(records, np.concatenate([part.labels for part in parts]))


class _Joined:
    def __init__(self, several: Sequence[Records]):
        self.several = several
        self.starts = np.cumsum([0, *map(len, several)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def _place(self, i: int) -> tuple[Records, int]:
        number = int(np.searchsorted(self.starts, i, "right")) - 1
        return self.several[number], i - int(self.starts[number])

    def __getitem__(self, i: int) -> np.ndarray:
        records, k = self._place(i)
        return records[k]

    def where(self, i: int) -> str:
        records, k = self._place(i)
        return records.where(k)

    def name(self, i: int) -> str:
        records, k = self._place(i)
        return records.name(k)

    def size(self, i: int) -> tuple[int, int]:
        records, k = self._place(i)
        return records.size(k)


@dataclasses.dataclass(frozen=True, eq=False)
class _Chosen:
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

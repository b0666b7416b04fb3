"""IDX files, the format of MNIST, Fashion-MNIST, KMNIST and EMNIST: plain or gzipped."""

import gzip
import io
import math
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.memory import memory_budget
from compare_gan.data.base import UNLABELLED
from compare_gan.data.classes import numbered, stored_labels
from compare_gan.data.records import Contents, Pixels, StoredSplit

_NAME = re.compile(r"(.*?)(images|labels)[-._]idx\d[-._]ubyte(?:\.gz)?", re.IGNORECASE)
_SPLIT = re.compile(r"(train|t10k|test)", re.IGNORECASE)
GZIP = b"\x1f\x8b"
UNSIGNED_BYTES = 8  # type code in the IDX header


class IdxName(NamedTuple):
    """The parsed name of an IDX file."""

    dataset: str  # "" for MNIST's own names, "emnist-letters" for emnist-letters-train-images-idx3-ubyte
    split: Literal["train", "test"]
    kind: Literal["images", "labels"]


def idx_name(name: str) -> IdxName | None:
    """Parses the name of an IDX file; None if it is not the name of one."""
    found = _NAME.fullmatch(name.rpartition("/")[2])
    split = found and _SPLIT.search(found[1])
    if not found or not split:
        return None
    dataset = (found[1][: split.start()] + found[1][split.end() :]).strip("-_. ").lower()
    kind: Literal["images", "labels"] = "images" if found[2].lower() == "images" else "labels"
    return IdxName(dataset, "train" if split[1].lower() == "train" else "test", kind)


def read_idx_file(path: Path) -> Contents:
    """The data set that an IDX file belongs to: its images, labels and test images in the same folder.

    Raises:
      UserError: see `read_idx`.
    """
    target = idx_name(path.name)
    names = sorted(file.name for file in path.parent.iterdir() if file.is_file())
    same = [
        name for name in names if target and (found := idx_name(name)) and found.dataset == target.dataset
    ]
    return read_idx(str(path.parent), path.name, same, lambda name: (path.parent / name).read_bytes())


def read_idx(path: str, name: str, names: Iterable[str], read: Callable[[str], bytes]) -> Contents:
    """Images and labels of IDX files: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-....

    Args:
      path: the source, for error messages.
      name: name of the data set.
      names: names of the IDX files; if two have the same meaning, the first is used.
      read: reads the bytes of a file.

    Raises:
      UserError: training images are missing, there are several data sets, or files are damaged or do not
        match each other.
    """
    found: dict[IdxName, str] = {}
    for file in names:
        if known := idx_name(file):
            found.setdefault(known, file)
    datasets = sorted({known.dataset for known in found})
    if len(datasets) > 1:
        raise UserError(
            f"{path}: contains several data sets ({', '.join(name or 'mnist' for name in datasets)}); "
            f"pass a file of one of them, such as {path}/{next(iter(found.values()))}"
        )

    def part(split: Literal["train", "test"]) -> StoredSplit | None:
        images, labels = (found.get(IdxName(datasets[0], split, kind)) for kind in ("images", "labels"))
        if images is None:
            if labels is not None:
                raise UserError(
                    f"{path}/{labels}: labels without images; add the {split} images to the same folder"
                )
            return None
        where = f"{path}/{images}"
        pixels = _array(where, read(images))
        if pixels.ndim not in (3, 4) or pixels.ndim == 4 and pixels.shape[3] not in (1, 3):
            raise UserError(f"{where}: has the shape {list(pixels.shape)}; expected [N, H, W] images")
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        if labels is None:
            return StoredSplit(Pixels(pixels, where), np.full(len(pixels), UNLABELLED, np.int32))
        values = _array(f"{path}/{labels}", read(labels))
        return StoredSplit(Pixels(pixels, where), stored_labels(path, labels, values, len(pixels)))

    train, test = part("train"), part("test")
    if train is None:
        raise UserError(f"{path}: no training images; expected train-images-idx3-ubyte or the same with .gz")
    notes = []
    if (IdxName(datasets[0], "train", "labels")) not in found:
        notes.append("no training labels (train-labels-idx1-ubyte), so the images are unlabelled")
    if "emnist" in datasets[0]:
        notes.append("EMNIST stores its images transposed; they are used as stored")
    _, class_names = numbered(path, [part.labels for part in (train, test) if part is not None])
    return Contents(path, name, train, test, class_names, tuple(notes))


def _array(where: str, data: bytes) -> np.ndarray:
    """The array of an IDX file, plain or gzipped."""
    damaged = UserError(f"{where}: truncated, corrupt or not an IDX file; download it again")
    try:
        opened = gzip.GzipFile(fileobj=io.BytesIO(data)) if data[:2] == GZIP else io.BytesIO(data)
        head = opened.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
            raise damaged
        if head[2] != UNSIGNED_BYTES:
            raise UserError(f"{where}: does not contain unsigned bytes, the only supported type")
        sizes = opened.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            raise damaged
        shape = np.frombuffer(sizes, ">u4").tolist()
        if (size := math.prod(shape)) > memory_budget():
            raise UserError(f"{where}: takes {size / 1e9:.1f} GB, more than the memory budget")
        values = opened.read(size)
        excess = opened.read(1)  # gzip verifies its checksum at the end
    except (OSError, EOFError, zlib.error):
        raise damaged from None
    if len(values) < size or excess:
        raise damaged
    return np.frombuffer(values, np.uint8).reshape(shape)

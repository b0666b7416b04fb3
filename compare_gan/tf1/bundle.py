"""Reads checkpoints of TensorFlow ("TensorBundle", its V2 format) without TensorFlow.

A checkpoint with the prefix P is the index `P.index`, a table of LevelDB
(https://github.com/google/leveldb/blob/main/doc/table_format.md) that maps tensor names to types, shapes and
locations, and the data `P.data-00000-of-00001`, ... The index and each tensor have a checksum, which is
verified. All lengths and offsets are checked before they are used.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from compare_gan.core.crc32c import masked_crc32c
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_bytes, regular
from compare_gan.tf1.wire import Damaged, Message, fixed32, message, number, parse, raw, varint

MAGIC, FOOTER, HANDLES, TRAILER = 0xDB4775248B80FB57, 48, 40, 5  # the sizes in bytes
PLAIN = 0  # the kind of an uncompressed block
MAX_INDEX, MAX_TENSORS, MAX_NAME, MAX_RANK, MAX_SHARDS = 2**26, 200_000, 1000, 32, 100_000
MAX_ELEMENTS = 2**48  # of a tensor, not counting axes of size 0
STRING = 7
DTYPES: dict[int, np.dtype] = {
    code: np.dtype(name)
    for code, name in {
        1: "<f4",
        2: "<f8",
        3: "<i4",
        4: "u1",
        5: "<i2",
        6: "i1",
        9: "<i8",
        10: "?",
        14: ml_dtypes.bfloat16,
        17: "<u2",
        19: "<f2",
        22: "<u4",
        23: "<u8",
    }.items()
}
HEADER: Message = {
    1: number("shards"),
    2: number("endianness"),
    3: message("version", {1: number("producer"), 2: number("min_consumer")}),
}
SHAPE: Message = {
    2: message("dims", {1: number("size")}, repeated=True),
    3: number("unknown_rank"),
}
ENTRY: Message = {
    1: number("dtype"),
    2: message("shape", SHAPE),
    3: number("shard"),
    4: number("offset"),
    5: number("size"),
    6: fixed32("crc"),
    7: raw("slices", repeated=True),
}


class Entry(NamedTuple):
    """A tensor in the index."""

    dtype: int  # TensorFlow's code
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int  # in bytes
    crc: int
    sliced: bool


def read_tensor_bundle(path: str | Path) -> "TensorBundle":
    """Opens a TensorFlow 1 or 2 checkpoint; only its index is read.

    >>> tensors = cg.read_tensor_bundle("model_dir/model.ckpt-1000")  # doctest: +SKIP
    >>> tensors["generator/fc_noise/kernel"].shape  # doctest: +SKIP
    (128, 4096)

    Args:
      path: the prefix of the files, as in `model.ckpt-1000`, or one of them.

    Raises:
      UserError: there is no such checkpoint, its index is damaged, or it has a feature that is not supported
        (compressed indices, big-endian numbers).
    """
    path = Path(path)
    if path.name.endswith(".index"):
        path = path.parent / path.name.removesuffix(".index")
    elif ".data-" in path.name and not Path(f"{path}.index").exists():
        path = path.parent / path.name.partition(".data-")[0]
    file = Path(f"{path}.index")
    if not file.exists():
        raise UserError(f"{path}: no TensorFlow checkpoint here (there is no {file.name})")
    try:
        return TensorBundle(path, *_read_index(memoryview(read_bytes(file, MAX_INDEX))))
    except Damaged as error:
        raise UserError(
            f"{file}: {error}; it is damaged or not the index of a TensorFlow checkpoint: copy it again"
        ) from None


class TensorBundle(Mapping[str, np.ndarray]):
    """The tensors of a checkpoint by name: read-only arrays, memory-mapped when they are accessed.

    Each access checks the bytes against their checksum. Tensors of bfloat16 have the dtype of `ml_dtypes`.

    Raises:
      UserError: on access: the data is missing, cut off or damaged, or the tensor is partitioned or holds
        strings. The message names the file and the tensor.
    """

    def __init__(self, prefix: Path, shards: int, entries: dict[str, Entry]):
        self.prefix = prefix
        self.shards = shards
        self.entries = entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return self.entries[name].shape

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self.entries[name]
        file = Path(f"{self.prefix}.data-{entry.shard:05d}-of-{self.shards:05d}")
        try:
            return _tensor(file, entry)
        except Damaged as error:
            raise UserError(f"{file}: tensor {name!r} {error}") from None


def _tensor(file: Path, entry: Entry) -> np.ndarray:
    if entry.sliced:
        raise Damaged("is partitioned, which is not supported; save it unpartitioned")
    if entry.dtype == STRING:
        raise Damaged("holds strings, which are not supported")
    if entry.dtype not in DTYPES:
        raise Damaged(f"has TensorFlow's dtype {entry.dtype}, which is not supported")
    dtype = DTYPES[entry.dtype]
    count = math.prod(entry.shape)
    if count * dtype.itemsize != entry.size:
        raise Damaged(
            f"has {entry.size} bytes, but its shape {list(entry.shape)} and type need "
            f"{count * dtype.itemsize}: the index is damaged"
        )
    if math.prod(max(dim, 1) for dim in entry.shape) > MAX_ELEMENTS:  # NumPy refuses these, too
        raise Damaged(f"has the shape {list(entry.shape)}, which is impossible: the index is damaged")
    present = regular(file).stat().st_size
    if entry.offset + entry.size > present:
        raise Damaged(
            f"ends at byte {entry.offset + entry.size} of the file, which has {present}: the file is cut off "
            "or from another checkpoint"
        )
    data: np.ndarray = np.zeros(0, np.uint8)
    if entry.size:
        try:
            data = np.memmap(file, np.uint8, "r", entry.offset, (entry.size,))
        except OSError as error:
            raise Damaged(f"cannot be read ({error.strerror})") from None
    if masked_crc32c(data) != entry.crc:
        raise Damaged("does not match its checksum (CRC-32C): the file is damaged")
    return data.view(dtype).reshape(entry.shape)


def _read_index(data: memoryview) -> tuple[int, dict[str, Entry]]:
    """The number of data files, and all tensors."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise Damaged("does not end like an index")
    footer = data[-FOOTER:-8]
    _, at = _handle(footer, 0)
    top, _ = _handle(footer, at)
    found: dict[bytes, memoryview] = {}
    last = b""
    for _, place in _pairs(_block(data, top)):
        for key, value in _pairs(_block(data, _handle(place, 0)[0])):
            if found and key <= last:
                raise Damaged("has names that are not in order")
            if len(found) > MAX_TENSORS:
                raise Damaged(f"has more than {MAX_TENSORS} tensors")
            found[key], last = value, key
    if b"" not in found:
        raise Damaged("has no header")
    header = parse(found.pop(b""), HEADER)
    if header.get("endianness", 0) != 0:
        raise Damaged("was written on a big-endian machine, which is not supported")
    if header.get("version", {}).get("min_consumer", 0) > 1:
        raise Damaged("has a newer format")
    shards = header.get("shards", 0)
    if not 0 < shards <= MAX_SHARDS:
        raise Damaged(f"has {shards} data files")
    entries = {}
    for key, value in found.items():
        if key.startswith(b"\0"):  # a part of a partitioned tensor, whose own entry says so
            continue
        try:
            name = key.decode()
        except UnicodeDecodeError:
            raise Damaged("has a name that is not UTF-8") from None
        try:
            entries[name] = _entry(value, shards)
        except Damaged as error:
            raise Damaged(f"its tensor {name!r} {error}") from None
    return shards, entries


def _entry(data: memoryview, shards: int) -> Entry:
    found = parse(data, ENTRY)
    shape = found.get("shape", {"dims": []})
    dims = tuple(dim.get("size", 0) for dim in shape["dims"])
    if shape.get("unknown_rank") or len(dims) > MAX_RANK or any(not 0 <= dim < 2**48 for dim in dims):
        raise Damaged(f"has the shape {list(dims[:MAX_RANK])}")
    places = {name: found.get(name, 0) for name in ("shard", "offset", "size")}
    if any(not 0 <= value < 2**48 for value in places.values()) or places["shard"] >= shards:
        raise Damaged(f"lies in data file {places['shard']}, bytes {places['offset']}+{places['size']}")
    return Entry(found.get("dtype", 0), dims, **places, crc=found.get("crc", 0), sliced=bool(found["slices"]))


def _handle(data: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """The offset and size of a block, and the position after them in the data."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: memoryview, handle: tuple[int, int]) -> memoryview:
    """The body of a block, after checking its checksum."""
    offset, size = handle
    if offset + size + TRAILER > len(data) - FOOTER:
        raise Damaged("has a block beyond its end")
    stored = struct.unpack("<I", data[offset + size + 1 : offset + size + TRAILER])[0]
    if masked_crc32c(bytes(data[offset : offset + size + 1])) != stored:
        raise Damaged("does not match a checksum (CRC-32C)")
    if data[offset + size] != PLAIN:
        raise Damaged(
            "has a compressed block, which TensorFlow itself does not write, and which is not supported"
        )
    return data[offset : offset + size]


def _pairs(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The keys and values of a block; of each key only what differs from the previous one is stored."""
    if len(block) < 4:
        raise Damaged("has a block without an end")
    restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise Damaged("has a block that is shorter than its own list of positions")
    entries, at, key = block[:end], 0, b""
    while at < end:
        kept, at = varint(entries, at)
        new, at = varint(entries, at)
        size, at = varint(entries, at)
        if kept > len(key) or kept + new > MAX_NAME or new + size > end - at:
            raise Damaged("has a name or value of an impossible length")
        key = key[:kept] + bytes(entries[at : at + new])
        yield key, entries[at + new : at + new + size]
        at += new + size

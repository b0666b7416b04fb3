"""Writes small files as TensorFlow does: checkpoints (TensorBundle) and modules (SavedModel)."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from tensorboardX.crc32c import _crc32c

CODES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "int64": 9,
    "bool": 10,
    "bfloat16": 14,
    "uint16": 17,
    "float16": 19,
    "uint32": 22,
    "uint64": 23,
}
MAGIC = 0xDB4775248B80FB57
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def varint(value: int) -> bytes:
    value, out = value % (1 << 64), b""
    while value >= 0x80:
        value, out = value >> 7, out + bytes([value & 0x7F | 0x80])
    return out + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    """A field of a message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def masked(data: bytes) -> int:
    crc = _crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def block(pairs: Sequence[tuple[bytes, bytes]], kind: int = 0, interval: int = 16) -> bytes:
    """A block of a table, with shared beginnings of keys, its kind and its checksum."""
    body, restarts, last = b"", [], b""
    for i, (key, value) in enumerate(pairs):
        shared = 0
        if i % interval == 0:
            restarts.append(len(body))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    body += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    return body + bytes([kind]) + struct.pack("<I", masked(body + bytes([kind])))


def table(pairs: Sequence[tuple[bytes, bytes]], per_block: int = 7, kind: int = 0) -> bytes:
    """An index file."""
    data, handles = b"", []
    for start in range(0, len(pairs), per_block):
        chunk = pairs[start : start + per_block]
        new = block(chunk, kind)
        handles.append((chunk[-1][0], varint(len(data)) + varint(len(new) - 5)))
        data += new
    footer = b""
    for pairs_of in ([], handles):  # metaindex, index
        new = block(pairs_of)
        footer += varint(len(data)) + varint(len(new) - 5)
        data += new
    return data + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def shape_message(shape: Sequence[int]) -> bytes:
    return b"".join(field(2, field(1, size) if size else b"") for size in shape)


def entry(array: np.ndarray, shard: int, offset: int, crc: int | None = None, **changed: Any) -> bytes:
    """The message of a tensor in an index."""
    data = array.tobytes()
    dtype = changed.get("dtype", CODES[str(array.dtype)])
    numbers = {3: shard, 4: changed.get("offset", offset), 5: changed.get("size", len(data))}
    message = field(1, dtype) + field(2, shape_message(changed.get("shape", array.shape)))
    message += b"".join(field(n, value) for n, value in numbers.items() if value)
    message += varint(6 << 3 | 5) + struct.pack("<I", masked(data) if crc is None else crc)
    return message + field(7, changed["slices"]) if "slices" in changed else message


def write_bundle(
    prefix: Path, arrays: Mapping[str, np.ndarray], shards: int = 1, header: bytes = b"", kind: int = 0
) -> None:
    """Writes a checkpoint; its tensors are dealt to the shards in turn."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    files, pairs = [b""] * shards, [(b"", header or field(1, shards) + field(3, field(1, 1)))]
    for i, name in enumerate(sorted(arrays, key=str.encode)):
        array = np.asarray(arrays[name])
        shard = i % shards
        pairs.append((name.encode(), entry(array, shard, len(files[shard]))))
        files[shard] += array.tobytes()
    Path(f"{prefix}.index").write_bytes(table(pairs, kind=kind))
    for shard, data in enumerate(files):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(data)


def info(name: str, dtype: int, shape: Sequence[int]) -> bytes:
    return field(1, name) + field(2, dtype) + field(3, shape_message(shape))


def node(name: str, op: str, inputs: Sequence[str] = (), tensor: bytes | None = None) -> bytes:
    message = field(1, name) + field(2, op) + b"".join(field(3, each) for each in inputs)
    if tensor is not None:
        message += field(5, field(1, "value") + field(2, field(8, tensor)))
    return message


def constant(name: str, value: float) -> bytes:
    """A node that is a scalar."""
    if isinstance(value, int):
        return node(name, "Const", tensor=field(1, 3) + field(7, varint(value)))
    return node(name, "Const", tensor=field(1, 1) + field(5, struct.pack("<f", value)))


def saved_model(
    z_dim: int, image: Sequence[int], classes: int = 0, epsilon: float = 1e-3, nodes: Sequence[bytes] = ()
) -> bytes:
    """`saved_model.pb` of a generator, with a further graph of other tags before it."""
    inputs = [("z", info("z_for_eval:0", 1, (-1, z_dim)))]
    if classes:
        inputs.append(("labels", info("labels_for_eval:0", 3, (-1,))))
    signature = b"".join(field(1, field(1, key) + field(2, value)) for key, value in inputs)
    signature += field(2, field(1, "generated") + field(2, info("generator/add:0", 1, (-1, *image))))
    all_nodes = [constant("generator/g_bn1/batchnorm/add/y", epsilon), *nodes]
    if classes:
        all_nodes.append(constant("one_hot/depth", classes))
    graph = b"".join(field(1, each) for each in all_nodes)
    signatures = field(5, field(1, "default") + field(2, signature))
    graphs = [field(1, field(4, "gen") + field(4, "bs8")) + signatures, field(1, b"") + signatures]
    return field(1, 1) + b"".join(field(2, each + field(2, graph)) for each in graphs)

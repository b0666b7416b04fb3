"""Parses messages in the wire format of Protocol Buffers, https://protobuf.dev/programming-guides/encoding.

A message is described by a table from field numbers to fields, and parsed into a dictionary. Fields that are
not in the table are skipped. The values of a repeated field take more memory than their bytes, so their
number is limited.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
MAX_VARINT = 10  # bytes
MAX_REPEATED = 2**20  # values of a repeated field


class Damaged(ValueError):
    """The data does not follow its format. The message is a clause without a subject."""


class Field(NamedTuple):
    """A field of a message: its name, its wire type, and how its value is read."""

    name: str
    wire: int
    read: Callable[[Any], Any]
    repeated: bool = False


Message = Mapping[int, Field]


def number(name: str) -> Field:
    """A signed 64-bit integer in two's complement."""
    return Field(name, VARINT, lambda value: value - (1 << 64) if value >> 63 else value)


def text(name: str, repeated: bool = False) -> Field:
    return Field(name, BYTES, lambda data: bytes(data).decode("utf-8", "replace"), repeated)


def raw(name: str, repeated: bool = False) -> Field:
    """Bytes, or a message to be parsed later."""
    return Field(name, BYTES, lambda data: data, repeated)


def fixed32(name: str) -> Field:
    return Field(name, FIXED32, lambda data: int.from_bytes(data, "little"))


def message(name: str, table: Message, repeated: bool = False) -> Field:
    return Field(name, BYTES, lambda data: parse(data, table), repeated)


def parse(data: memoryview, table: Message) -> dict[str, Any]:
    """The fields of a message by name; repeated fields are lists. Absent fields are left out.

    Raises:
      Damaged: it is not a message, a field has another wire type than in the table, or too many values.
    """
    found: dict[str, Any] = {field.name: [] for field in table.values() if field.repeated}
    for key, wire, value in _fields(data):
        field = table.get(key)
        if field is None:
            continue
        if wire != field.wire:
            raise Damaged(f"its field {field.name!r} has the wrong wire type")
        if field.repeated:
            if len(found[field.name]) == MAX_REPEATED:
                raise Damaged(f"has more than {MAX_REPEATED:,} values of its field {field.name!r}")
            found[field.name].append(field.read(value))
        else:
            found[field.name] = field.read(value)
    return found


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer at a position, and the position after it.

    Raises:
      Damaged: the data ends before it, or it has more than 64 bits.
    """
    value = 0
    for i, byte in enumerate(data[at : at + MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + i + 1
    raise Damaged("has an integer without an end, or of more than 64 bits")


def packed_varints(data: memoryview) -> list[int]:
    """The unsigned integers of a packed field.

    Raises:
      Damaged: the last one has no end, or one has more than 64 bits.
    """
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


def packed_floats(data: memoryview) -> tuple[float, ...]:
    """The float32 values of a packed field.

    Raises:
      Damaged: its size is not a multiple of 4 bytes.
    """
    if len(data) % 4:
        raise Damaged("has a list of floats whose size is not a multiple of 4 bytes")
    return struct.unpack(f"<{len(data) // 4}f", data)


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at)
        key, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = varint(data, at)
            yield key, wire, value
            continue
        if wire == BYTES:
            size, at = varint(data, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise Damaged(f"has a field of wire type {wire}, which TensorFlow does not write")
        if size > end - at:
            raise Damaged("has a field that is longer than its message")
        yield key, wire, data[at : at + size]
        at += size

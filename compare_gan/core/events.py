"""TensorBoard event files.

An event file is derived from other files of a run and is rewritten from them, so that it never holds an
event twice. It is a sequence of TFRecords of `Event` messages.
"""

import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from compare_gan.core.files import append

SUFFIX = ".compare_gan"  # a folder may also hold event files of other programs


def event_files(folder: Path) -> list[Path]:
    """The event files that `EventFile` wrote into a folder."""
    return sorted(folder.glob(f"events.out.tfevents.*{SUFFIX}"))


class EventFile:
    """A new event file, which replaces the earlier ones in its folder.

    A running TensorBoard drops what it has read from them, unless it is started with --load_fast=false.

    Args:
      folder: created if needed. TensorBoard shows one run per folder.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        for path in event_files(folder):
            path.unlink()
        now = time.time()  # readers expect names in the order of time
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}{SUFFIX}"
        self.path = folder / name
        self._append(Event(wall_time=now, file_version="brain.Event:2"))

    def write(self, step: int, wall_time: float, values: Sequence[Summary.Value]) -> None:
        """Appends an event.

        Args:
          step: of the training.
          wall_time: seconds since 1970.
          values: of `scalar` and `picture`.
        """
        self._append(Event(step=step, wall_time=wall_time, summary=Summary(value=values)))

    def _append(self, event: Event) -> None:
        append(self.path, record(event.SerializeToString()))


def scalar(tag: str, value: float) -> Summary.Value:
    return Summary.Value(tag=tag, simple_value=value)


def picture(tag: str, png: bytes) -> Summary.Value:
    """A picture that is already encoded as PNG."""
    width, height = struct.unpack(">II", png[16:24])  # in the header of every PNG file
    return Summary.Value(
        tag=tag, image=Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    )


def record(data: bytes) -> bytes:
    """A TFRecord: the length of the data and its checksum, the data and its checksum."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def masked_crc(data: bytes) -> int:
    """The checksum of a TFRecord."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C, https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4.

    tensorboardX computes it byte by byte, at half a second for a large picture. Here the data is cut into
    equal pieces whose CRCs are computed together. A CRC is linear: that of several pieces is combined from
    theirs, and appending zeros to a piece is a linear map of the 32 bits of its CRC.
    """
    values = np.frombuffer(data, np.uint8)
    size = max(1, int(len(values) ** 0.5))  # of a piece
    count = len(values) // size
    crcs = np.zeros(count, np.uint32)
    crcs[:1] = 0xFFFFFFFF
    for column in values[: count * size].reshape(count, size).T:
        crcs = TABLE[(crcs ^ column) & 0xFF] ^ crcs >> 8
    images = np.uint32(1) << np.arange(32, dtype=np.uint32)  # of the bits when `size` zeros are appended
    for _ in range(size):
        images = TABLE[images & 0xFF] ^ images >> 8
    bits = np.arange(256, dtype=np.uint32)[:, None] >> np.arange(8, dtype=np.uint32) & 1
    maps = [np.bitwise_xor.reduce(bits * part, 1).tolist() for part in images.reshape(4, 8)]  # byte by byte
    crc = 0 if count else 0xFFFFFFFF
    for piece in crcs.tolist():
        crc = maps[0][crc & 255] ^ maps[1][crc >> 8 & 255] ^ maps[2][crc >> 16 & 255] ^ maps[3][crc >> 24]
        crc ^= piece
    for value in values[count * size :].tolist():
        crc = int(TABLE[(crc ^ value) & 0xFF]) ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _table() -> np.ndarray:
    """The CRC of each byte; the polynomial of CRC-32C, with its bits reversed, is 0x82F63B78."""
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, crc >> 1 ^ np.uint32(0x82F63B78), crc >> 1)
    return crc


TABLE = _table()

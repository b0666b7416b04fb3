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

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from compare_gan.core.crc32c import masked_crc32c
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
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))

"""Reading TensorBoard event files, without the code that writes them."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tensorboardX.crc32c import _crc32c
from tensorboardX.proto.event_pb2 import Event

from compare_gan.core.files import read_log


def unmasked(stored: bytes) -> int:
    rotated = (struct.unpack("<I", stored)[0] - 0xA282EAD8) % 2**32
    return (rotated >> 17) | (rotated << 15) % 2**32


def events(path: Path) -> Iterator[Event]:
    """The events of one file; their checksums are verified."""
    data = path.read_bytes()
    while data:
        length, crc, data = data[:8], data[8:12], data[12:]
        (size,) = struct.unpack("<Q", length)
        assert unmasked(crc) == _crc32c(length)
        assert len(data) >= size + 4, "the last record is incomplete"
        assert unmasked(data[size : size + 4]) == _crc32c(data[:size])
        yield Event.FromString(data[:size])
        data = data[size + 4 :]


def values(folder: Path) -> dict[tuple[str, int], float | bytes]:
    """The scalars, and the bytes of the pictures, of all event files in a folder, by tag and step.

    An event that occurs twice is an error.
    """
    found: dict[tuple[str, int], float | bytes] = {}
    for path in folder.glob("*tfevents*"):
        for event in events(path) if path.stat().st_size else ():
            for value in event.summary.value:
                key = value.tag, event.step
                assert key not in found, f"twice: {key}"
                picture = value.WhichOneof("value") == "image"
                found[key] = value.image.encoded_image_string if picture else value.simple_value
    return found


def expected_values(run_dir: Path, rates: Mapping[str, np.ndarray]) -> dict[tuple[str, int], float | bytes]:
    """What `values` must return for a run, from `metrics.jsonl` and `samples/`."""
    rows, found = read_log(run_dir / "metrics.jsonl"), dict[tuple[str, int], float | bytes]()
    for row in rows:
        for name in row.keys() - {"step", "seconds"}:
            found[name, row["step"]] = float(np.float32(row[name]))
        for name, rate in rates.items():
            found[name, row["step"]] = float(np.float32(rate[row["step"] - 1]))
    for before, row in zip(rows, rows[1:], strict=False):
        if row["seconds"] > before["seconds"]:
            speed = (row["step"] - before["step"]) / (row["seconds"] - before["seconds"])
            found["steps_per_second", row["step"]] = float(np.float32(speed))
    for path in (run_dir / "samples").glob("0*.png"):
        found["samples/generated", int(path.stem)] = path.read_bytes()
    return found

"""Processes that are interrupted, full disks, and what a folder holds apart from timings."""

import contextlib
import csv
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from compare_gan.training.checkpoints import MANIFEST

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600


class Failure(Exception):
    """A check failed."""


class Process(subprocess.Popen):
    """A command of the library. Its output goes to a file: a pipe would stay open while workers live.

    Args:
      words: the arguments.
      module: what `python -m` runs.
      environment: added to the variables of this process.
      prepare: called in the new process first.
    """

    def __init__(
        self,
        words: list[str],
        module: str = "compare_gan.main",
        environment: dict[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ):
        self.output = tempfile.TemporaryFile("w+")
        super().__init__(
            [sys.executable, "-m", module, *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
            stdout=self.output,
            stderr=subprocess.STDOUT,
            preexec_fn=prepare,
        )


def listed(folder: Path) -> list[Path]:
    """The contents of a folder, which may not exist yet."""
    with contextlib.suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def wait_until(process: Process, condition: Callable[[], bool]) -> None:
    """Waits until a condition holds or the process has ended."""
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None and not condition():
        if time.monotonic() > deadline:
            process.kill()
            raise Failure(f"timed out after {TIMEOUT_S} seconds")
        time.sleep(0.001)


def finish(process: Process, *codes: int) -> str:
    """Waits for a process and returns its output.

    Raises:
      Failure: another exit code than `codes`, or a traceback.
    """
    process.wait(TIMEOUT_S)
    process.output.seek(0)
    output = process.output.read()
    process.output.close()
    if process.returncode not in codes or "Traceback" in output:
        raise Failure(f"exit code {process.returncode}, not {' or '.join(map(str, codes))}: {output[-2000:]}")
    return output


def errors_in(output: str) -> list[str]:
    """The lines of an output that report an error of the command, or of a task of a study."""
    return [line for line in output.splitlines() if line.startswith(("compare-gan: ", "failed: "))]


def disk_usage(folder: Path) -> int:
    """Disk space of the files in a folder in bytes, rounded up to pages."""
    page = resource.getpagesize()
    return sum(-(-path.stat().st_size // page) * page for path in folder.rglob("*") if path.is_file())


def mount_tmpfs(folder: Path, size: int) -> bool:
    """Tries to mount a tmpfs of this size on a folder. Returns whether it succeeded."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0


@contextlib.contextmanager
def on_small_disk(folder: Path, capacity: int) -> Iterator[bool]:
    """Moves an existing folder to a disk of this size, and back at the end.

    Yields whether that is possible: only root can mount one.
    """
    with tempfile.TemporaryDirectory() as backup:
        kept = Path(backup) / "kept"
        shutil.copytree(folder, kept)
        if not mount_tmpfs(folder, capacity):
            yield False
            return
        try:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
            yield True
            shutil.rmtree(kept)
            shutil.copytree(folder, kept)
        finally:
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)


def limit_file_size(size: int) -> Callable[[], None]:
    """What a new process calls so that it cannot write larger files."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def arrays(checkpoint: Path) -> list[tuple[str, bytes]]:
    """All arrays of a checkpoint, read with Orbax directly."""
    with ocp.StandardCheckpointer() as reader:
        state = reader.restore(checkpoint.absolute())
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [(jax.tree_util.keystr(path), np.asarray(leaf).tobytes()) for path, leaf in leaves]


def contents(folder: Path) -> dict[str, Any]:
    """What each file in a folder holds, by its path, apart from timings.

    Timings are: numbers under the key "seconds" in JSON, and all numbers of seconds.json; the column seconds
    of a CSV table; in an HTML report the durations in columns Time and in the table Time by stage; names and
    times of TensorBoard events, and their tag steps_per_second. Of a checkpoint all arrays are compared, not
    the files: Orbax notes the time in them. Of an ArrayRecord file the examples are compared.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if is_checkpoint(path):
            found[name] = arrays(path)
        elif path.is_dir() or any(map(is_checkpoint, path.parents)):
            continue
        elif "tfevents" in path.name:
            found.setdefault(str(Path(name).with_name("tfevents")), []).append(events(path))
        else:
            found[name] = timeless(path)
    return found


def is_checkpoint(path: Path) -> bool:
    """Whether this is the folder of a checkpoint; cached features have a manifest of this name, too."""
    return path.name.isdecimal() and (path / MANIFEST).exists()


def timeless(path: Path) -> Any:
    """What a file holds apart from timings, see `contents`. The order of keys counts: a report shows it."""
    data = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(without_seconds(json.loads(data), path.name == "seconds.json"))
    if path.suffix == ".jsonl":
        return [without_seconds(json.loads(line)) for line in data.splitlines()]
    if path.suffix == ".csv":
        rows = list(csv.DictReader(data.decode().splitlines()))
        return [{name: "" if name == "seconds" else value for name, value in row.items()} for row in rows]
    if ".array_record" in path.name:
        return records(path)
    if path.suffix == ".html":
        return without_durations(data.decode())
    return data


def without_seconds(value: Any, inside: bool = False) -> Any:
    """A JSON value whose numbers under the key "seconds" are None."""
    if isinstance(value, dict):
        return {key: without_seconds(each, inside or key == "seconds") for key, each in value.items()}
    if isinstance(value, list):
        return [without_seconds(each, inside) for each in value]
    return None if inside else value


def without_durations(html: str) -> str:
    """A report without durations; the names of the stages remain."""
    html = re.sub(r'<td data-label="Time".*?</td>', "<td></td>", html, flags=re.DOTALL)
    table = re.compile(r"<h3>Time by stage</h3>.*?</table>", re.DOTALL)
    return table.sub(lambda match: re.sub(r"<td.*?</td>", "<td>", match[0], flags=re.DOTALL), html)


def events(path: Path) -> list[Any]:
    """Step, tags and values of a TensorBoard event file."""
    from tensorboardX.proto.event_pb2 import Event

    data, found = path.read_bytes(), []
    while data:  # TFRecord: length, checksum of the length, record, checksum of the record
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        values = [
            (value.tag, value.simple_value, value.image.SerializeToString()) for value in event.summary.value
        ]
        found.append((event.step, [value for value in values if value[0] != "steps_per_second"]))
        data = data[16 + length :]
    return found


def records(path: Path) -> list[list[bytes]]:
    """The examples in an ArrayRecord file; the order of their features varies from run to run."""
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    try:
        return [sorted(fields(features)) for each in reader.read_all() for features in fields(each)]
    finally:
        reader.close()


def fields(message: bytes) -> list[bytes]:
    """The contents of the fields of a protocol buffer that has length-delimited fields only."""
    found = []
    while message:
        length, i = 0, 1  # the first byte is the number of the field
        while True:  # seven bits a byte, the lowest first
            length |= (message[i] & 127) << 7 * (i - 1)
            i += 1
            if message[i - 1] < 128:
                break
        found.append(message[i : i + length])
        message = message[i + length :]
    return found


def check_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raises Failure if two folders do not hold the same files with the same contents."""
    wrong = [
        *(f"{name} is missing" for name in expected.keys() - found.keys()),
        *(f"{name} is left over" for name in found.keys() - expected.keys()),
        *(
            f"{name} differs: {difference(expected[name], found[name])}"
            for name in found.keys() & expected.keys()
            if found[name] != expected[name]
        ),
    ]
    if wrong:
        raise Failure(f"{len(wrong)} of {len(expected)} files: {'; '.join(sorted(wrong)[:5])}")


def difference(expected: Any, found: Any) -> str:
    """The place where two values begin to differ."""
    a, b = (value if isinstance(value, str) else repr(value) for value in (expected, found))
    start = max(0, len(os.path.commonprefix([a, b])) - 60)
    return f"{a[start : start + 160]!r}, now {b[start : start + 160]!r}"


def kill(process: Process) -> None:
    """Sends SIGKILL and waits."""
    process.kill()
    process.wait()
    process.output.close()

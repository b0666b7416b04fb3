"""Five hundred corrupted files: each is read or reported in one line, without hangs, leaks or writes.

`tests/data/fuzz.py` generates the files. Case N is deterministic.
"""

import faulthandler
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.base import Split
from compare_gan.data.label_files import read_labels
from tests.data import fuzz
from tests.helpers.memory import resident
from tests.helpers.tiers import slow_unless

SECONDS = 10  # that a case may take; a sound file takes hundredths
MEMORY = 2**29  # bytes that it may take on top


class Hang(BaseException):
    """Not an Exception, so that no handler mistakes it for a damaged file."""


def peak() -> int:
    """Peak resident memory in bytes since the last call; 0 if unknown."""
    try:
        highest = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        return highest
    except OSError:
        return 0


def listing(folder):
    about = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_mode, stat.st_size, stat.st_mtime_ns) for path, stat in about.items()}


@pytest.fixture
def case(tmp_path, monkeypatch):
    """A folder for a file, with checks before and after reading it."""
    run = tmp_path / "parent" / "run"
    run.mkdir(parents=True)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "outside.png").write_bytes(b"mine")
    monkeypatch.chdir(run)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def attempt(path, read):
        def stop(*_):
            raise Hang(path.name)

        before, start = listing(tmp_path), resident()
        peak()
        faulthandler.dump_traceback_later(
            9 * SECONDS, exit=True, file=sys.__stderr__
        )  # where no signal arrives
        handler = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            read()
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error) and str(error).isprintable()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            faulthandler.cancel_dump_traceback_later()
        assert peak() - start < MEMORY
        assert listing(tmp_path) == before

    return run, attempt


def fail(message):
    raise UserError(message)


@pytest.mark.parametrize(
    "read, expected",
    [
        (lambda path: path.with_name("new").write_text(""), AssertionError),
        (lambda path: (path.parents[2] / "outside.png").write_text("yours"), AssertionError),
        (lambda path: tempfile.NamedTemporaryFile(delete=False).close(), AssertionError),
        (lambda path: path.unlink(), AssertionError),
        (lambda path: np.ones(MEMORY + 2**27, np.uint8), AssertionError),
        (lambda path: fail("an unexpected error"), AssertionError),
        (lambda path: 1 / 0, ZeroDivisionError),
        (lambda path: time.sleep(SECONDS + 5), Hang),
    ],
)
def test_violations_are_detected(read, expected, case, monkeypatch):
    (run, attempt), module = case, sys.modules[__name__]
    (run / "file").write_text("")
    monkeypatch.setattr(module, "SECONDS", 0.3 if expected is Hang else SECONDS)
    with pytest.raises(expected):
        attempt(run / "file", lambda: read(run / "file"))


def test_cases_are_deterministic():
    for make in (fuzz.images, fuzz.archives, fuzz.parquets, fuzz.arrays, fuzz.label_files):
        one, other = (make(np.random.default_rng(7)) for _ in range(2))
        assert one == other


def read_all(path, reading):
    data = open_dataset(str(path), reading=reading)
    assert data.spec.num_classes == len(data.class_names)
    for split in (data.train, data.test):
        images = split.images[:]
        assert images.shape == (len(split), *data.spec.image_shape) and images.dtype == np.uint8
        assert len(split.labels) == len(list(split.names)) == len(split)
        assert split.labels.min() >= -1 and split.labels.max() < max(1, len(data.class_names))


def readings(rng):
    return LoadOptions(
        [None, 4][rng.integers(2)],
        broken=["fail", "skip"][rng.integers(2)],
        memory=[None, 0][rng.integers(2)],
    )


def spoiled(rng, kinds):
    """A file of one of these formats with corrupted bytes, or spliced with another file."""
    name, other = (str(name) for name in rng.choice(list(kinds), 2))
    if rng.random() < 0.1:
        return name, kinds[other] if rng.random() < 0.5 else rng.bytes(int(rng.integers(999)))
    data = kinds[name]
    for _ in range(rng.integers(1, 3)):
        data = fuzz.BYTES[rng.integers(len(fuzz.BYTES))](rng, data) if data else data
    return name, data


def written(run, file):
    name, data = file
    (run / name).write_bytes(data)
    return run / name


@pytest.mark.parametrize("number", slow_unless(lambda i: i < 22, range(180)))
def test_images(number, case):
    """A folder with one corrupted image among valid ones."""
    (run, attempt), rng = case, np.random.default_rng([1, number])
    kinds = fuzz.images(rng)
    name, data = spoiled(rng, kinds)
    if rng.random() < 0.3:
        data = fuzz.huge(rng, kinds[name])
    for label in "ab":
        (run / "set" / label).mkdir(parents=True)
        for i in range(3):
            (run / "set" / label / f"{i}.png").write_bytes(kinds["colour.png"])
    written(run / "set" / "a", (name, data))
    attempt(run / "set", lambda: read_all(run / "set", readings(rng)))


@pytest.mark.parametrize("number", slow_unless(lambda i: i < 13, range(110)))
def test_archives(number, case):
    (run, attempt), rng = case, np.random.default_rng([2, number])
    odd = number % 2
    path = written(
        run, fuzz.odd_archive(rng, run / "outside.png") if odd else spoiled(rng, fuzz.archives(rng))
    )
    attempt(path, lambda: read_all(path, readings(rng)))


@pytest.mark.parametrize("number", slow_unless(lambda i: i < 10, range(80)))
def test_parquet_files(number, case):
    (run, attempt), rng = case, np.random.default_rng([3, number])
    path = written(run, fuzz.odd_parquet(rng) if number % 3 == 0 else spoiled(rng, fuzz.parquets(rng)))
    attempt(path, lambda: read_all(path, readings(rng)))


@pytest.mark.parametrize("number", slow_unless(lambda i: i < 6, range(50)))
def test_arrays(number, case):
    (run, attempt), rng = case, np.random.default_rng([4, number])
    path = written(run, fuzz.odd_arrays(rng) if number % 2 else spoiled(rng, fuzz.arrays(rng)))
    attempt(path, lambda: read_all(path, readings(rng)))


@pytest.mark.parametrize("number", slow_unless(lambda i: i < 10, range(80)))
def test_label_files(number, case):
    (run, attempt), rng = case, np.random.default_rng([5, number])
    path = written(run, fuzz.odd_labels(rng) if number % 2 else spoiled(rng, fuzz.label_files(rng)))
    split = Split(np.zeros((10, 2, 2, 1), np.uint8), np.full(10, -1, np.int32), fuzz.NAMES)

    def read():
        labels, names = read_labels(path, split, [(), ("a", "b")][rng.integers(2)])
        assert len(labels) == 10 and (
            labels.max() < len(names) if labels.ndim == 1 else labels.shape[1] == len(names)
        )

    attempt(path, read)

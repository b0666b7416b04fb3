"""Hostile and damaged files are refused in one line, within bounds of time and memory."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compare_gan.core import limits
from compare_gan.main import main
from tests import hostile
from tests.helpers.tiers import slow_unless

ROOT = Path(__file__).parents[1]
CASES = {case.name: case for case in hostile.cases()}
SECONDS = 30  # for a case
# `ru_maxrss` of a process begins with the memory of its parent.
LIMITED = """
import re, resource
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2**35, 2**35))
from compare_gan.main import run
try:
    run()
finally:
    own = int(re.search("VmHWM: *(.*) kB", Path("/proc/self/status").read_text().replace("\\t", " "))[1])
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    Path("peak").write_text(str(1024 * max(own, children)))
"""
PEAK = 1.5e9  # bytes of a process; without a case, half a gigabyte


class Hang(BaseException):
    """Not an Exception, so that no handler mistakes it for a damaged file."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    hostile.write_sound(folder)
    return folder


@pytest.fixture
def copy(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "x"))


def assert_refused(code, output, error):
    assert code == 2, output + error
    assert error.startswith("compare-gan: ") and error.count("\n") == 1, error[-3000:]
    assert error[:-1].isprintable() and len(error) < 3000
    assert not [c for c in output if not c.isprintable() and c != "\n"]


def chosen(i, name):
    """About 40 cases of all kinds, spread evenly; those that run a program are slow."""
    return i % 7 == 0 and not name.startswith("program")


@pytest.mark.parametrize("i, name", slow_unless(chosen, list(enumerate(CASES))))
def test_a_hostile_file_is_refused_in_one_line(i, name, copy, capsys, monkeypatch):
    def stop(*_):
        raise Hang(name)

    monkeypatch.chdir(copy)
    words = CASES[name].make(copy)
    capsys.readouterr()
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        code = main(words)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    assert_refused(code, *capsys.readouterr())


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.LARGE)
def test_a_large_claim_takes_little_memory(name, copy):
    words = CASES[name].make(copy)
    with open(copy / "output", "w") as output, open(copy / "error", "w") as error:
        code = subprocess.run(
            [sys.executable, "-c", LIMITED, *words],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=error,
        ).returncode
    assert_refused(code, (copy / "output").read_text(), (copy / "error").read_text())
    assert int((copy / "peak").read_text()) < PEAK


def test_sound_files_are_read(sound, tmp_path, capsys):
    copy = Path(shutil.copytree(sound, tmp_path / "x"))
    for words in (hostile.of_run(copy), hostile.of_export(copy), hostile.report(copy), hostile.compare(copy)):
        assert main(words) == 0
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_a_program_without_end_is_stopped(copy, capsys, monkeypatch):
    monkeypatch.setattr("compare_gan.export.checks.BATCH_S", 2.0)
    words = hostile.program("generator", hostile.forever)(copy)
    code = main(words)
    assert_refused(code, *capsys.readouterr())
    assert limits.is_stuck()

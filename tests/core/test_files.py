"""Writes are atomic, and folders that are not writable are reported at once."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from compare_gan.core import files
from compare_gan.core.errors import UserError
from compare_gan.core.files import (
    atomic,
    atomic_folder,
    read_bytes,
    read_json,
    read_lines,
    read_log,
    read_text,
    run_folder,
    sha256_of,
    write_csv,
    write_json,
)
from compare_gan.core.schema import integer


def test_a_block_that_ends_well_replaces_the_file(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with atomic(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x.bin"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_json_round_trip(tmp_path):
    value = {"a": [1, 2.5, None], "b": {"c": "é"}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value == json.loads((tmp_path / "x.json").read_text())
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert read_json(tmp_path / "x.json") == value


def test_json_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: cannot be read \(No such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad\.json: not a JSON file"):
        read_json(tmp_path / "bad.json")


def test_run_folder(tmp_path):
    path = tmp_path / "a" / "b"
    assert run_folder(path) == run_folder(path) == path
    assert path.is_dir() and not os.listdir(path)


def test_run_folder_where_a_file_lies(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="it or a parent is a file; choose another folder") as caught:
            run_folder(path)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_run_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    for path in (tmp_path, tmp_path / "below"):
        with pytest.raises(UserError, match="Permission denied"):
            run_folder(path)


def test_a_table_has_all_columns_and_empty_cells(tmp_path):
    write_csv(tmp_path / "x.csv", [{"a": 1, "b": "x, y"}, {"a": None, "c": 0.5}])
    assert (tmp_path / "x.csv").read_text() == 'a,b,c\n1,"x, y",\n,,0.5\n'


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert read_log(tmp_path / "metrics.jsonl") == ()


def test_the_sha256_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UserError, match="y: cannot be read"):
        sha256_of(tmp_path / "y")


def test_what_is_not_a_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for read in (read_bytes, read_text, read_json, sha256_of):
        for name, message in {
            "pipe": "a pipe or a device",
            "zero": "a pipe or a device",
            ".": "a folder",
        }.items():
            with pytest.raises(UserError, match=message):
                read(tmp_path / name)
        with pytest.raises(UserError, match="No such file"):
            read(tmp_path / "none")


def test_the_size_of_a_file_is_limited(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(tmp_path / "x", 5) == b"12345"
    with pytest.raises(UserError, match="x: has 5 bytes; such a file has at most 4"):
        read_text(tmp_path / "x", 4)


def test_lines_of_json(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("1\n2\n")
    assert read_lines(path, integer()) == [1, 2]
    path.write_text('1\n"2"\n')
    with pytest.raises(UserError, match="x.jsonl: line 2 cannot be read"):
        read_lines(path, integer())


def write_and_wait(path, ready):
    """Writes half a file, and half a folder next to it, and waits to be killed."""
    with atomic(path / "x.npz") as file, atomic_folder(path / "export") as folder:
        file.write(b"half")
        file.flush()
        (folder / "program").write_bytes(b"half")
        ready.set()
        time.sleep(600)


@pytest.fixture
def writer(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=write_and_wait, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_temporary_files_of_a_killed_process_are_removed_and_those_of_a_living_one_kept(tmp_path, writer):
    written = sorted(os.listdir(tmp_path))
    assert len(written) == 2 and all(name.startswith((".x.npz.", ".export.")) for name in written)
    run_folder(tmp_path)
    assert sorted(os.listdir(tmp_path)) == written
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert sorted(os.listdir(tmp_path)) == written
    run_folder(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("situation", ["another host", "no locks"])
def test_a_temporary_file_whose_process_may_live_elsewhere_is_kept_for_a_day(
    tmp_path, monkeypatch, situation
):
    name = ".x.npz.00000000-abcdefgh.partial" if situation == "another host" else None
    path = tmp_path / (name or f".x.npz.{files.HOST}-abcdefgh.partial")
    path.touch()
    if situation == "no locks":
        monkeypatch.setattr(files, "fcntl", None)
    run_folder(tmp_path)
    assert path.exists()
    yesterday = time.time() - 25 * 3600
    os.utime(path, (yesterday, yesterday))
    run_folder(tmp_path)
    assert not path.exists()


def test_hidden_files_of_the_user_are_never_removed(tmp_path):
    names = [".x.npz.ab12cd", ".gitignore", "x.npz.00000000-abcdefgh.partial", ".x.partial"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    run_folder(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_a_folder_replaces_the_one_before(tmp_path):
    for content in (b"old", b"new"):
        with atomic_folder(tmp_path / "export") as folder:
            (folder / "x").write_bytes(content)
    assert os.listdir(tmp_path) == ["export"]
    assert (tmp_path / "export" / "x").read_bytes() == b"new"


def test_a_folder_whose_replacement_was_killed_is_restored(tmp_path):
    """A process was killed after it had moved the old folder away, before the new one was in its place."""
    for suffix, content in (("", b"new"), (".old", b"old")):
        folder = tmp_path / f".export.{files.HOST}-abcdefgh.partial{suffix}"
        folder.mkdir()
        (folder / "x").write_bytes(content)
    run_folder(tmp_path)
    assert os.listdir(tmp_path) == ["export"]
    assert (tmp_path / "export" / "x").read_bytes() == b"old"


def test_a_folder_that_another_process_wrote_meanwhile_is_replaced(tmp_path):
    with atomic_folder(tmp_path / "export") as folder:
        (folder / "x").write_bytes(b"second")
        with atomic_folder(tmp_path / "export") as other:
            (other / "x").write_bytes(b"first")
    assert os.listdir(tmp_path) == ["export"]
    assert (tmp_path / "export" / "x").read_bytes() == b"second"


def test_a_write_that_fails_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*x\.bin'"), atomic(tmp_path / "x.bin"):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing_and_the_error_names_the_file(tmp_path):
    resource = pytest.importorskip("resource", reason="not on Windows")
    path = tmp_path / "x.bin"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*x\.bin'"), atomic(path) as file:
            file.write(bytes(100))  # stays in the buffer until the end
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_the_first_write_of_a_process_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    left = tmp_path / f".scores.csv.{files.HOST}-abcdefgh.partial"
    left.touch()
    monkeypatch.chdir(tmp_path)
    write_json(Path("x.json"), 1)
    assert os.listdir(tmp_path) == ["x.json"]
    left.touch()
    write_json(tmp_path / "x.json", 2)  # does not list the folder again
    assert left.exists()
    run_folder(tmp_path)
    assert os.listdir(tmp_path) == ["x.json"]


def test_files_of_a_cache_that_were_not_used_for_longest_are_removed(tmp_path):
    for name, used in (("a", 3), ("b", 1), ("c", 2), ("d", 4)):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (used, 0))
    files.remove_least_recent(tmp_path, 40)
    assert len(list(tmp_path.iterdir())) == 4
    files.remove_least_recent(tmp_path, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d"]
    files.remove_least_recent(tmp_path / "none", 0)

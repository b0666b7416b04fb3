"""Writes are atomic, and folders that are not writable are reported at once."""

import json
import os

import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.files import (
    atomic,
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

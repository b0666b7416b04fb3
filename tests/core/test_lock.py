"""Two runs never share a folder."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock

from compare_gan.core import lock
from compare_gan.core.errors import UserError
from compare_gan.core.lock import NAME, claimed, record_of

HOLDER = """
import sys, time
from pathlib import Path
from compare_gan.core.lock import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_and_its_death_frees_the_folder(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"in use by process {holder.pid} on ") as caught:
            with claimed(tmp_path):
                pass
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with claimed(tmp_path):
            pass


def test_what_a_killed_process_left_is_no_obstacle(tmp_path):
    """Files of this version, and the one of earlier versions, which held the name of the process itself."""
    for name in (NAME, record_of(tmp_path / NAME).name):
        (tmp_path / name).write_text("process 1 on elsewhere\n")
    with claimed(tmp_path):
        assert f"process {os.getpid()} on " in record_of(tmp_path / NAME).read_text()
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on "), claimed(tmp_path):
            pass
    with claimed(tmp_path):
        pass


def test_training_needs_nothing_that_only_posix_has():
    code = """
import signal, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
del signal.SIGUSR1
import compare_gan.core.interrupt, compare_gan.core.lock
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), claimed(tmp_path):
        raise RuntimeError
    with claimed(tmp_path):
        pass


# Other machines: their records name another system, and their system locks may not be visible here.

ELSEWHERE = "process 7 on node3\nanother system\n0123456789abcdef\n"


@pytest.fixture
def short_lease(monkeypatch):
    monkeypatch.setattr(lock, "LEASE_S", 0.4)
    monkeypatch.setattr(lock, "RENEW_S", 0.05)
    monkeypatch.setattr(lock, "POLL_S", 0.02)


def test_a_machine_that_renews_its_record_keeps_the_folder(tmp_path, short_lease):
    record, ended = record_of(tmp_path / NAME), threading.Event()
    record.write_text(ELSEWHERE)

    def renew():
        while not ended.wait(0.1):
            os.utime(record)

    thread = threading.Thread(target=renew)
    thread.start()
    with pytest.raises(lock.InUse, match="in use by process 7 on node3; wait for it"), claimed(tmp_path):
        pass
    ended.set()
    thread.join()
    assert record.read_text() == ELSEWHERE


@pytest.mark.parametrize("system_lock", ["not visible", "kept by the server", "not supported"])
def test_a_dead_machine_does_not_keep_the_folder(system_lock, tmp_path, short_lease, monkeypatch):
    record_of(tmp_path / NAME).write_text(ELSEWHERE)
    kept = FileLock(tmp_path / NAME)
    if system_lock == "kept by the server":
        kept.acquire()
    if system_lock == "not supported":
        monkeypatch.setattr(lock, "_try_to_lock", lambda lock: False)
    began = time.monotonic()
    with claimed(tmp_path):
        assert time.monotonic() - began > lock.LEASE_S
        assert f"process {os.getpid()} on " in record_of(tmp_path / NAME).read_text()
        with pytest.raises(lock.InUse), claimed(tmp_path):
            pass
    kept.release()
    assert not record_of(tmp_path / NAME).exists()


def test_one_of_many_takes_the_folder_of_a_dead_machine(tmp_path, short_lease, monkeypatch):
    """Without locks of the system the record decides alone."""
    monkeypatch.setattr(lock, "_try_to_lock", lambda lock: False)
    record_of(tmp_path / NAME).write_text(ELSEWHERE)
    inside, refused = [], []

    def take():
        try:
            with claimed(tmp_path):
                inside.append(1)
                time.sleep(1.5)
                inside.append(-1)
        except lock.InUse:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [1, -1] and len(refused) == 7


def test_a_holder_renews_its_record(tmp_path, short_lease):
    with claimed(tmp_path):
        before = record_of(tmp_path / NAME).stat().st_mtime_ns
        time.sleep(0.3)
        assert record_of(tmp_path / NAME).stat().st_mtime_ns > before


def test_a_holder_that_was_taken_for_dead_leaves_the_record_of_its_successor(tmp_path, short_lease, caplog):
    with claimed(tmp_path):
        record_of(tmp_path / NAME).write_text(ELSEWHERE)
        time.sleep(0.3)
    assert record_of(tmp_path / NAME).read_text() == ELSEWHERE
    assert "taken over by process 7 on node3" in caplog.text


def test_locks_of_different_names_are_independent(tmp_path):
    with claimed(tmp_path), claimed(tmp_path, "other"), pytest.raises(lock.InUse):
        with claimed(tmp_path, "other"):
            pass

"""Locks: a run folder for one training process, and a file for one writer at a time.

Processes of one machine are distinguished by a lock of the operating system (flock), which ends with its
process, even if that is killed. Other machines may not see such a lock: some shared file systems keep it to
one machine, and others keep it after the machine has died. So the holder also renews a record next to it, and
a record that another machine left unchanged for `LEASE_S` is void.
"""

import contextlib
import dataclasses
import errno
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from compare_gan.core.errors import UserError
from compare_gan.core.files import create

NAME = "in-use"
RECORD_SUFFIX = ".txt"  # a file of its own: Windows does not let others read a locked file
RENEW_S = 10.0
LEASE_S = 120.0  # clients of NFS may see the time of a file up to a minute late
POLL_S = 0.5
UNSUPPORTED = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP
log = logging.getLogger(__name__)


class InUse(UserError):
    """Another process holds the lock."""


@contextlib.contextmanager
def claimed(folder: Path, name: str = NAME) -> Iterator[None]:
    """Locks `folder` for this process. The lock ends with the process, even if that is killed.

    If another machine has the lock, this waits until its record is renewed, at most `LEASE_S`.

    Args:
      folder: an existing folder.
      name: several locks of one folder have different names.

    Raises:
      InUse: another process holds the lock; the message names it.
    """
    path, mark = folder / name, uuid.uuid4().hex
    record, lock = record_of(path), FileLock(path)
    try:
        _acquire(lock, path)
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        with contextlib.suppress(OSError):  # a full disk is reported by the work that follows
            if not create(record, f"{holder}\n{_machine()}\n{mark}\n".encode()):
                raise _in_use(path)
        with _renewed(record, mark):
            yield
    finally:
        if _read(record).mark == mark:
            record.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Waits until no other thread or process is inside this context manager for `path`.

    The lock is a file next to `path`, so `path` itself may be replaced inside.
    """
    with FileLock(path.with_name(f"{path.name}.lock")):
        yield


def record_of(path: Path) -> Path:
    """The record of who holds the lock `path`: a line for people, the machine, and a random mark."""
    return path.with_name(path.name + RECORD_SUFFIX)


@dataclasses.dataclass(frozen=True)
class _Record:
    """What a record says; empty if there is none. Older versions wrote the first line only."""

    holder: str = ""
    machine: str = ""
    mark: str = ""
    renewed: int = 0  # nanoseconds, by the clock of the file system


def _read(record: Path) -> _Record:
    try:
        with open(record) as file:  # opening makes a client of NFS ask for the current state
            lines = [*file.read().splitlines(), "", "", ""]
            return _Record(lines[0].strip(), lines[1], lines[2], os.fstat(file.fileno()).st_mtime_ns)
    except (OSError, UnicodeDecodeError):
        return _Record()


def _machine() -> str:
    """Identifies the running system: its containers share its locks, and none of them survives a reboot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _acquire(lock: BaseFileLock, path: Path) -> None:
    """Acquires the lock of the operating system, and removes a record that is void.

    Raises:
      InUse: the holder is alive.
    """
    record = record_of(path)
    first, since = _read(record), time.monotonic()
    while True:
        supported = _try_to_lock(lock)
        found = _read(record)
        elsewhere = found.machine not in ("", _machine())
        if not elsewhere and lock.is_locked:  # a record was left by a killed process of this machine
            record.unlink(missing_ok=True)
            return
        if not supported and found == _Record():
            return
        if supported and not elsewhere or found != first:
            raise _in_use(path)
        if time.monotonic() - since > LEASE_S:
            if not _remove(record, found.mark):
                raise _in_use(path)
            if not lock.is_locked:  # the lock of a dead machine stays with the file that it has opened
                path.unlink(missing_ok=True)
            first = _read(record)
        lock.release()
        time.sleep(POLL_S)


def _try_to_lock(lock: BaseFileLock) -> bool:
    """Acquires the lock if it is free. False if the file system has no such locks."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return False
    return True


def _remove(record: Path, mark: str) -> bool:
    """Removes a record, unless another process has replaced it; returns whether it did."""
    aside = record.with_name(f".{record.name}.{mark}")
    with contextlib.suppress(FileNotFoundError):
        record.rename(aside)
        if _read(aside).mark != mark:
            create(record, aside.read_bytes())
            aside.unlink()
            return False
        aside.unlink()
    return True


@contextlib.contextmanager
def _renewed(record: Path, mark: str) -> Iterator[None]:
    """Renews a record until the block ends."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_S):
            if (found := _read(record)).mark not in ("", mark):
                log.warning("%s: taken over by %s, as this process did not renew it", record, found.holder)
                return
            with contextlib.suppress(OSError):
                os.utime(record)

    thread = threading.Thread(target=renew, name=f"renew {record.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _in_use(path: Path) -> InUse:
    holder = _read(record_of(path)).holder or "another process"  # it just ended, or has written no record yet
    return InUse(f"{path.parent}: in use by {holder}; wait for it, stop it, or choose another --model_dir")

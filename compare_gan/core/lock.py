"""Locks: a run folder for one training process, and a file for one writer at a time."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from compare_gan.core.errors import UserError

NAME = "in-use"
HOLDER = "in-use.txt"  # a file of its own: Windows does not let others read a locked file


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Locks `folder` for this process. The system releases the lock when the process ends, even if killed.

    Raises:
      UserError: another process holds the lock; the message names the process.
    """
    lock, holder = FileLock(folder / NAME), folder / HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{folder}: in use by {_name(holder)}; wait for it, stop it, or choose another --model_dir"
        ) from None
    try:
        with contextlib.suppress(OSError):  # a full disk is reported by the work that follows
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Waits until no other thread or process is inside this context manager for `path`.

    The lock is a file next to `path`, so `path` itself may be replaced inside.
    """
    with FileLock(path.with_name(f"{path.name}.lock")):
        yield


def _name(holder: Path) -> str:
    try:
        return holder.read_text().strip() or "another process"
    except OSError:  # it just ended, or has not written the file yet
        return "another process"

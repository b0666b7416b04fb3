"""One process at a time in a run folder."""

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
    """Holds `folder` for this process. The system releases it when the process ends, however it ends.

    Raises:
      UserError: another process holds it; the message names it.
    """
    lock, holder = FileLock(folder / NAME), folder / HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{folder}: in use by {_name(holder)}; wait for it, stop it, or choose another --model_dir"
        ) from None
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _name(holder: Path) -> str:
    try:
        return holder.read_text().strip() or "another process"
    except OSError:  # it has ended just now, or has not written yet
        return "another process"

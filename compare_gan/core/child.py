"""Child processes that do one piece of work each, for a process that stays small, such as a worker of Dask.

The parent (`ask`) starts `python -m MODULE FILE`, sends a question to its standard input and keeps that open;
the child writes its answer to FILE. The standard input closes when the parent dies, and then the child stops
(`stop_with_parent`). This module imports nothing but the standard library.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path

GRACE_S = 30.0  # for a child to save its work after its parent has died
_running: dict[str, set[subprocess.Popen[bytes]]] = {}  # by owner
_stopped = weakref.WeakSet[subprocess.Popen[bytes]]()
_lock = threading.Lock()


def ask(module: str, question: bytes, owner: str, environment: Mapping[str, str]) -> tuple[bytes | None, int]:
    """Starts a child process and waits for its answer.

    Args:
      module: what the child runs: its `main`, with `read_question` and `answer`.
      question: what it gets.
      owner: an id for `stop`.
      environment: added to the variables of this process.

    Returns:
      The answer, or None if the child died; and its exit code, negative if a signal ended it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer"
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=os.environ | dict(environment),
        )
        with _lock:
            _running.setdefault(owner, set()).add(process)
        try:
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # it died at once
                process.stdin.write(len(question).to_bytes(8, "big") + question)
                process.stdin.flush()
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()
        finally:
            with _lock:
                _running[owner].discard(process)
        return file.read_bytes() if file.exists() else None, process.returncode


def stop(owner: str) -> int:
    """Asks the children of an owner to save their work and stop; returns how many still run."""
    with _lock:
        processes = list(_running.get(owner, ()))
    for process in processes:
        if process not in _stopped:
            _stopped.add(process)
            process.terminate()
    return len(processes)


def read_question() -> bytes:
    """The question, in the child. Starts `stop_with_parent`."""
    with open(0, "rb", closefd=False) as stream:
        question = stream.read(int.from_bytes(stream.read(8), "big"))
    stop_with_parent()
    return question


def answer(data: bytes) -> None:
    """Writes the answer, in the child."""
    file = Path(sys.argv[1])
    file.with_suffix(".new").write_bytes(data)
    file.with_suffix(".new").replace(file)


def stop_with_parent() -> None:
    """Stops this process when its standard input closes: with SIGTERM, so that it can save its work."""

    def wait_and_stop() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=wait_and_stop, daemon=True).start()

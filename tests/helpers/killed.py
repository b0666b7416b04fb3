"""`python -m tests.helpers.killed MOMENT FOLDER WORDS...`: a command that is killed while it writes a file.

A temporary file or folder in FOLDER has three moments: it was created; it is complete and about to be
renamed; it was renamed. The process gets SIGKILL at the moment with the number MOMENT, from 1. With 0 it runs
to the end and prints the number of moments.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from tests.helpers import tfds_set


class Moments:
    """Counts moments, and kills this process at one of them."""

    def __init__(self, last: int, folder: str):
        self.last, self.folder, self.count, self.lock = last, os.path.realpath(folder), 0, threading.Lock()

    def note(self, path: Any) -> None:
        if not os.path.realpath(os.fsdecode(path)).startswith(self.folder):
            return
        with self.lock:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)

    def creating(self, create: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            made = create(*arguments, **options)
            self.note(made[1] if isinstance(made, tuple) else made)
            return made

        return call

    def renaming(self, rename: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: Any, target: Any, **options: Any) -> None:
            self.note(source)
            rename(source, target, **options)
            self.note(target)

        return call


def main(last: int, folder: str, words: list[str]) -> None:
    from compare_gan.main import run

    moments = Moments(last, folder)
    tempfile.mkstemp, tempfile.mkdtemp = map(moments.creating, (tempfile.mkstemp, tempfile.mkdtemp))
    os.rename, os.replace = map(moments.renaming, (os.rename, os.replace))
    if words[0] == "prepare":
        tfds_set.register()
    sys.argv[1:] = words
    try:
        run()
    finally:
        if not last:
            print(f"moments: {moments.count}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])

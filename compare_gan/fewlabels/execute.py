"""Doing many tasks, in this process or in several, so that one that fails does not cost the others."""

import collections
import contextlib
import dataclasses
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import jax

from compare_gan.core.allocator import keep_freed_memory
from compare_gan.core.errors import UserError
from compare_gan.core.interrupt import Interrupted, stop_requested

CACHE = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a task: a value, or why there is none."""

    task: Any
    value: Any = None
    error: str | None = None


Call = Callable[[Any], Any]


def attempt(call: Call, task: Any) -> Outcome:
    try:
        return Outcome(task, call(task))
    except (Interrupted, KeyboardInterrupt):
        raise
    except UserError as error:
        return Outcome(task, error=str(error))
    except Exception as error:
        log.debug("%s", task, exc_info=True)
        first = (str(error).strip().splitlines() or [""])[0]
        return Outcome(task, error=f"{type(error).__name__}: {first}")


class SerialExecutor:
    """Runs tasks in this process, one after another."""

    def __init__(self, call: Call):
        self.call = call

    def each(self, tasks: Sequence[Any]) -> Iterator[Outcome]:
        """The outcome of every task, as they come.

        Raises:
          Interrupted: Ctrl-C or SIGTERM.
        """
        return (attempt(self.call, task) for task in tasks)

    def close(self) -> None:
        """Nothing is left to end."""


class ProcessExecutor:
    """Runs tasks in `count` processes, each at the end of its own pipe: one that dies blocks no other.

    Args:
      open_call: makes in each process what does a task there; what it returns need not be picklable.

    Raises:
      UserError: there is an accelerator, which processes cannot share.
    """

    def __init__(self, count: int, open_call: Callable[[], Call]):
        if jax.default_backend() != "cpu":
            raise UserError(
                f"--workers {count}: processes cannot share a {jax.default_backend()}; leave it out"
            )
        jax.clear_caches()  # what this process has compiled is of no use to the others
        context = multiprocessing.get_context("spawn")
        cache = {name: getattr(jax.config, name) for name in CACHE}
        self.processes: dict[Connection, Any] = {}  # by our end of the pipe
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(open_call, theirs, cache), daemon=True)
            process.start()
            theirs.close()  # so that ours ends when the process does
            self.processes[ours] = process

    def each(self, tasks: Sequence[Any]) -> Iterator[Outcome]:
        """The outcome of every task, as they come.

        Raises:
          Interrupted: Ctrl-C or SIGTERM; the processes have saved what they could.
        """
        left, working = collections.deque(tasks), dict[Connection, Any]()
        idle = list(self.processes)
        with stop_requested() as stopping:
            while left or working:
                while left and idle:
                    pipe = idle.pop()
                    working[pipe] = left.popleft()
                    with contextlib.suppress(OSError):  # its process has died; reported below
                        pipe.send(working[pipe])
                if not working:
                    yield Outcome(left.popleft(), error="no process is left to do it")
                for pipe in cast(list[Connection], wait(list(working), timeout=0.5)):
                    task = working.pop(pipe)
                    try:
                        outcome = pipe.recv()
                        idle.append(pipe)
                    except (EOFError, OSError):
                        outcome = Outcome(task, error="its process died; is there enough memory?")
                    yield outcome
                if stopping():
                    self.close()
                    raise Interrupted("study: stopped, and saved")

    def close(self) -> None:
        """Asks all processes to stop, and waits until they have."""
        for process in self.processes.values():
            process.terminate()
        for pipe, process in self.processes.items():
            process.join()
            pipe.close()


def work(open_call: Callable[[], Call], pipe: Connection, cache: dict[str, Any]) -> None:
    """What a process does: one task after another, until it is stopped or nobody asks. It prints nothing."""
    keep_freed_memory()
    for name, value in cache.items():
        jax.config.update(name, value)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        with contextlib.suppress(EOFError, Interrupted, KeyboardInterrupt):
            logging.basicConfig(level=logging.ERROR, format="%(message)s")  # notes were logged once
            call = open_call()
            logging.getLogger().setLevel(logging.WARNING)
            while True:
                pipe.send(attempt(call, pipe.recv()))

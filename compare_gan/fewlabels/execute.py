"""Executors: run many tasks in this process or in several; a failed task does not stop the others."""

import collections
import contextlib
import dataclasses
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, cast

import jax

from compare_gan.core.allocator import keep_freed_memory
from compare_gan.core.errors import UserError
from compare_gan.core.follow_up import hide_logged_errors, unraisable
from compare_gan.core.interrupt import Interrupted, stop_requested
from compare_gan.core.lock import InUse

CACHE_OPTIONS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
DIED = "the worker process died, possibly out of memory"
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a task: its value, or an error message."""

    task: Any
    value: Any = None
    error: str | None = None
    again: bool = False  # the reason of the error passes: another process does the task, or it was stopped


Call = Callable[[Any], Any]


class Executor(Protocol):
    """Runs tasks, in any order and possibly several at a time."""

    def outcomes(self, tasks: Sequence[Any]) -> Iterator[Outcome]:
        """Yields the outcome of each task as it finishes.

        Raises:
          Interrupted: Ctrl-C or SIGTERM.
        """
        ...

    def close(self) -> None:
        """Releases what the executor holds."""


def attempt(call: Call, task: Any) -> Outcome:
    """Calls `call(task)`. Errors become an `Outcome` with a message; interrupts propagate."""
    try:
        return Outcome(task, call(task))
    except (Interrupted, KeyboardInterrupt):
        raise
    except UserError as error:
        return Outcome(task, error=str(error), again=isinstance(error, InUse))
    except Exception as error:
        log.debug("%s", task, exc_info=True)
        first_line = (str(error).strip().splitlines() or [""])[0]
        return Outcome(task, error=f"{type(error).__name__}: {first_line}")


class SerialExecutor:
    """Runs tasks in this process, one after another."""

    def __init__(self, call: Call):
        self.call = call

    def outcomes(self, tasks: Sequence[Any]) -> Iterator[Outcome]:
        """Yields the outcome of each task as it finishes.

        Raises:
          Interrupted: Ctrl-C or SIGTERM.
        """
        return (attempt(self.call, task) for task in tasks)

    def close(self) -> None:
        """Nothing to release."""


class ProcessExecutor:
    """Runs tasks in `count` processes, each with its own pipe, so a process that dies does not block the
    others.

    Args:
      open_call: called once in each process; returns the function that runs a task. Must be picklable, but
        its result need not be.

    Raises:
      UserError: JAX uses an accelerator, which processes cannot share.
    """

    def __init__(self, count: int, open_call: Callable[[], Call]):
        if jax.default_backend() != "cpu":
            raise UserError(
                f"--workers {count}: processes cannot share a {jax.default_backend()}; omit the option"
            )
        jax.clear_caches()  # the other processes cannot use programs compiled here
        context = multiprocessing.get_context("spawn")
        self.processes: dict[Connection, Any] = {}  # by the parent's end of the pipe
        for _ in range(count):
            parent_end, child_end = context.Pipe()
            process = context.Process(
                target=worker_loop, args=(open_call, child_end, cache_options()), daemon=True
            )
            process.start()
            child_end.close()  # so that reading parent_end fails with EOFError when the process dies
            self.processes[parent_end] = process

    def outcomes(self, tasks: Sequence[Any]) -> Iterator[Outcome]:
        """Yields the outcome of each task as it finishes.

        Raises:
          Interrupted: Ctrl-C or SIGTERM; the processes save checkpoints before they exit.
        """
        pending, running = collections.deque(tasks), dict[Connection, Any]()
        idle = list(self.processes)
        with stop_requested() as stopping:
            while pending or running:
                while pending and idle:
                    pipe = idle.pop()
                    running[pipe] = pending.popleft()
                    with contextlib.suppress(OSError):  # the process has died; reported below
                        pipe.send(running[pipe])
                if not running:
                    yield Outcome(pending.popleft(), error="all worker processes have died")
                for pipe in cast(list[Connection], wait(list(running), timeout=0.5)):
                    task = running.pop(pipe)
                    try:
                        outcome = pipe.recv()
                        idle.append(pipe)
                    except (EOFError, OSError):
                        outcome = Outcome(task, error=DIED)
                    yield outcome
                if stopping():
                    self.close()
                    raise Interrupted("study: stopped; progress is saved")

    def close(self) -> None:
        """Terminates all processes and waits for them to exit."""
        for process in self.processes.values():
            process.terminate()
        for pipe, process in self.processes.items():
            process.join()
            pipe.close()


def worker_loop(open_call: Callable[[], Call], pipe: Connection, cache_options: dict[str, Any]) -> None:
    """Runs in a worker process: receives tasks and sends outcomes until the pipe closes. Prints nothing."""
    exit_with_parent()
    with working(cache_options), contextlib.suppress(EOFError, Interrupted, KeyboardInterrupt):
        call = open_quietly(open_call)
        while True:
            pipe.send(attempt(call, pipe.recv()))


@contextlib.contextmanager
def working(cache_options: dict[str, Any]) -> Iterator[None]:
    """Sets up a process that does tasks for another one. It prints nothing, and logs warnings."""
    hide_logged_errors()
    sys.unraisablehook = unraisable
    keep_freed_memory()
    for name, value in cache_options.items():
        jax.config.update(name, value)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        yield


def open_quietly(open_call: Callable[[], Call]) -> Call:
    """Returns `open_call()`, without warnings about the data: the main process has logged them."""
    logging.getLogger().setLevel(logging.ERROR)
    call = open_call()
    logging.getLogger().setLevel(logging.WARNING)
    return call


def cache_options() -> dict[str, Any]:
    """The options of this process for keeping compiled programs."""
    return {name: getattr(jax.config, name) for name in CACHE_OPTIONS}


def exit_with_parent() -> None:
    """Ends this process as soon as its parent process dies.

    If the parent is killed, its workers would continue, and would block the same task of a restarted study.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_and_exit() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()

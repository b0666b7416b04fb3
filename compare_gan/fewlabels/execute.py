"""Doing many tasks, in this process or in several, so that one that fails does not cost the others."""

import contextlib
import dataclasses
import logging
import multiprocessing
import os
import queue
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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


class Here:
    """Does tasks in this process, one after another."""

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


class Workers:
    """Does tasks in `count` processes.

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
        context = multiprocessing.get_context("spawn")
        self.tasks, self.outcomes = context.Queue(), context.Queue()
        cache = {name: getattr(jax.config, name) for name in CACHE}
        self.processes = [
            context.Process(target=work, args=(i, open_call, self.tasks, self.outcomes, cache), daemon=True)
            for i in range(count)
        ]
        for process in self.processes:
            process.start()

    def each(self, tasks: Sequence[Any]) -> Iterator[Outcome]:
        """The outcome of every task, as they come.

        Raises:
          Interrupted: Ctrl-C or SIGTERM; the processes have saved what they could.
        """
        for number in range(len(tasks)):
            self.tasks.put((number, tasks[number]))
        missing, working = set(range(len(tasks))), dict[int, int]()  # process -> what it does
        with stop_requested() as stopping:
            while missing:
                try:
                    process, number, outcome = self.outcomes.get(timeout=0.5)
                except queue.Empty:
                    if stopping():
                        self.close()
                        raise Interrupted("study: stopped, and saved") from None
                    yield from self._lost(tasks, missing, working)
                    continue
                working[process] = number
                if outcome is not None:
                    missing.discard(number)
                    yield outcome

    def _lost(self, tasks: Sequence[Any], missing: set[int], working: dict[int, int]) -> Iterator[Outcome]:
        """Outcomes of tasks whose process has died; of all, if none is left."""
        dead = [i for i in range(len(self.processes)) if not self.processes[i].is_alive()]
        gone = (
            set(missing) if len(dead) == len(self.processes) else {working.pop(i, -1) for i in dead} & missing
        )
        for number in sorted(gone):
            missing.discard(number)
            yield Outcome(tasks[number], error="its process died; is there enough memory?")

    def close(self) -> None:
        """Asks all processes to stop, and waits until they have."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()


def work(place: int, open_call: Callable[[], Call], tasks: Any, outcomes: Any, cache: dict[str, Any]) -> None:
    """What process number `place` does: one task after another, until it is stopped. It prints nothing."""
    keep_freed_memory()
    for name, value in cache.items():
        jax.config.update(name, value)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        try:
            call = open_call()
            while True:
                number, task = tasks.get()
                outcomes.put((place, number, None))
                outcomes.put((place, number, attempt(call, task)))
        except (Interrupted, KeyboardInterrupt):
            sys.exit(1)

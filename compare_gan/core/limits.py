"""A time limit for calls into native code, which cannot be interrupted."""

import threading
from collections.abc import Callable
from typing import Any

from compare_gan.core.errors import UserError

THREAD = "limited"
BATCH_S = 600.0  # seconds for one batch of a program or network from a file


class TimedOut(UserError):
    """A call took longer than its limit. Its thread may still run, so the process must not wait for it."""


def within(
    seconds: float, call: Callable[[], Any], what: str, stop: Callable[[], None] = lambda: None
) -> Any:
    """The result of `call()`, which runs in a thread.

    Args:
      seconds: the limit.
      call: the function.
      what: the start of the message if it takes longer.
      stop: called after the limit; it may end `call`.

    Raises:
      TimedOut: it took longer. Exceptions of `call` are raised as they are.
    """
    results: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True, name=THREAD)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        stop()
        thread.join(5)
        raise TimedOut(f"{what}: stopped after {seconds:g} seconds; it may contain an endless loop")
    if failures:
        raise failures[0]
    return results[0]


def is_stuck() -> bool:
    """Whether a call that took longer than its limit still runs. A normal exit would wait for it."""
    return any(thread.name == THREAD for thread in threading.enumerate())

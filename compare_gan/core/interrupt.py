"""Stopping long work on a signal without losing progress."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

# Ctrl-C, and the signals that clusters send before preemption. Windows has no SIGUSR1.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Interrupted(Exception):
    """The user or the system asked to stop; progress is saved.

    >>> try:
    ...     raise cg.Interrupted("gan: stopped at step 10 of 100, saved in runs/mine")
    ... except cg.Interrupted as stop:
    ...     print(stop)
    gan: stopped at step 10 of 100, saved in runs/mine
    """


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether a signal asked to stop: Ctrl-C, SIGTERM or SIGUSR1.

    SLURM, Kubernetes and cloud machines send SIGTERM before they end a job; `sbatch --signal` can send
    SIGUSR1. The first signal only sets the flag, so that the work can save its progress; a second Ctrl-C
    raises KeyboardInterrupt. Outside the main thread no signal is handled.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number, frame):
        del frame
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        print("\nstopping after this step, and saving; Ctrl-C again to stop at once", flush=True)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

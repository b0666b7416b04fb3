"""Stopping long work without losing it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

# Ctrl-C; what clusters send before they take a machine away. Windows has no SIGUSR1.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Interrupted(Exception):
    """The user or the system asked to stop; all that was computed is saved."""


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C came, or what a cluster sends before it ends a job.

    That is SIGTERM (SLURM, Kubernetes, cloud machines) or, where `sbatch --signal` asks for it, SIGUSR1.
    The first signal only raises the flag, so that the work can save itself; a second Ctrl-C stops at once.
    Outside the main thread signals stay as they are.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number, frame):
        del frame
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)
        print("\nstopping after this step, and saving; Ctrl-C again to stop at once", flush=True)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

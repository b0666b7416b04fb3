"""The progress of long work: bars on a terminal, a line every few seconds elsewhere."""

import contextlib
import os
import sys
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import TaskID

BAR_WIDTH = 24  # characters
_display: "Display | None" = None  # draws all bars, below everything that is printed; None if there are none


class Progress:
    """Shows step, rate, time left and selected metrics.

    On a terminal each `Progress` has a bar, whose last state stays as a line when the work is done; bars of
    nested work are drawn below each other. Elsewhere a line is printed every few seconds. The bar of work
    that fails disappears with its `Progress`, or at the end of `bars_removed`.

    Args:
      name: of the work.
      total: number of steps; 0: unknown.
      start: steps that were done before.
      unit: of a step, for the rate.
      show_after_s: nothing is shown in the first seconds.
    """

    def __init__(self, name: str, total: int, start: int = 0, unit: str = "steps", show_after_s: float = 0.0):
        self.name, self.total, self.start, self.unit = name, total, start, unit
        self.show_after_s = show_after_s
        self.began = time.monotonic()
        self.first: tuple[int, float] | None = None  # step and time of the first update
        self.live = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self.every = 0.2 if self.live else 10.0
        self.printed = self.began if not self.live else 0.0
        self.task: TaskID | None = None  # of the bar
        if self.live and not show_after_s:
            self._draw(start, self._position(start))

    def update(self, step: int, numbers: dict[str, float]) -> None:
        """Shows a step, unless the last one was shown a moment ago.

        Args:
          step: number of steps done.
          numbers: metrics to show, by name.
        """
        now, done = time.monotonic(), 0 < self.total <= step
        if self.first is None:
            self.first = step, now
        if now - self.began < self.show_after_s or now - self.printed < self.every and not done:
            return
        self.printed = now
        text = "  ".join([self._position(step), *self._speed(step, now)])
        text += "".join(f"  {name} {value:.3g}" for name, value in numbers.items())
        if self.live and not done:
            self._draw(step, text)
            return
        if self.task is not None:
            _remove(self.task)
        print(f"{self.name}: {text}", flush=True)

    def _speed(self, step: int, now: float) -> list[str]:
        """Rate and time left, from the time since the first update: compilation comes before it.

        The first update has neither, unless it is the last one, too.
        """
        assert self.first is not None
        before, began = self.first
        if step <= before:
            if step != self.total:
                return []
            before, began = self.start, self.began
        rate = (step - before) / max(now - began, 1e-9)
        left = [f"{clock((self.total - step) / max(rate, 1e-9))} left"] if self.total else []
        return [f"{rate:.1f} {self.unit}/s", *left]

    def _position(self, step: int) -> str:
        return f"{step}/{self.total}" if self.total else str(step)

    def _draw(self, step: int, text: str) -> None:
        display = _open_display()
        if self.task is None or self.task not in display.task_ids:
            self.task = display.add_task(self.name, total=self.total or None, text="")
            weakref.finalize(self, _remove, self.task)  # also called when the program exits
        display.update(self.task, completed=step, text=text)
        display.refresh()


@contextlib.contextmanager
def bars_removed() -> Iterator[None]:
    """Removes bars that appeared in this context when it ends, so that an error message is below none."""
    before = set(_display.task_ids) if _display is not None else set()
    try:
        yield
    finally:
        for task in list(_display.task_ids) if _display is not None else ():
            if task not in before:
                _remove(task)


def _open_display() -> "Display":
    global _display
    if _display is None:
        # Imported here: `compare-gan --help` must start fast.
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Display

        _display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR_WIDTH),
            TextColumn("{task.fields[text]}", markup=False),
            console=Console(file=sys.stdout, highlight=False, markup=False, emoji=False),
            auto_refresh=False,  # no thread: a signal handler may print at any time
            transient=True,
            redirect_stderr=sys.stderr.isatty(),  # it would be written to standard output
        )
        _display.start()
        _display.console.show_cursor()  # so that a killed program does not leave it hidden
    return _display


def _remove(task: "TaskID") -> None:
    """Removes a bar if it still exists."""
    global _display
    if _display is None or task not in _display.task_ids:
        return
    _display.remove_task(task)
    if _display.task_ids:
        _display.refresh()
    else:
        _display.stop()
        _display = None


def clock(seconds: float) -> str:
    """`75` -> `"1:15"`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

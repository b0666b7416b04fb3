"""A progress line for long work."""

import sys
import time


class Progress:
    """Prints step, rate, time left and selected metrics.

    On a terminal the line is rewritten in place; elsewhere a new line is printed every few seconds. The first
    `show_after_s` seconds print nothing.
    """

    def __init__(self, name: str, total: int, start: int = 0, unit: str = "steps", show_after_s: float = 0.0):
        self.name, self.total, self.start, self.unit = name, total, start, unit
        self.show_after_s = show_after_s
        self.began = time.monotonic()
        self.live = sys.stdout.isatty()
        self.every = 0.2 if self.live else 10.0
        self.printed = self.began if not self.live else 0.0

    def update(self, step: int, numbers: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self.began < self.show_after_s or now - self.printed < self.every and step < self.total:
            return
        self.printed = now
        rate = (step - self.start) / max(now - self.began, 1e-9)
        left = (self.total - step) / max(rate, 1e-9)
        shown = "  ".join(f"{name} {value:.3g}" for name, value in numbers.items())
        line = f"{self.name}: {step}/{self.total}  {rate:.1f} {self.unit}/s  {clock(left)} left  {shown}"
        if not self.live:
            print(line, flush=True)
        else:
            print(f"\r\033[K{line}", end="\n" if step >= self.total else "", flush=True)


def clock(seconds: float) -> str:
    """`75` -> `"1:15"`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

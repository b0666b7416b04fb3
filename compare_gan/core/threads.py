"""Long reading, by several threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from compare_gan.core.progress import Progress

T = TypeVar("T")
AHEAD = 256  # results that the threads may have ready before they are wanted


def parallel_map(name: str, count: int, read: Callable[[int], T]) -> Iterator[T]:
    """`read(i)` of each i below `count`. Threads work a little ahead, and a line tells how far they are."""
    progress = Progress(name, count, unit="images", patience=5.0)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for start in range(0, count, AHEAD):
                numbers = range(start, min(start + AHEAD, count))
                yield from pool.map(read, numbers)
                progress.update(numbers.stop, {})
        finally:
            pool.shutdown(cancel_futures=True)

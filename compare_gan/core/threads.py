"""Parallel reading with threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from compare_gan.core.progress import Progress

T = TypeVar("T")
AHEAD = 256  # results that may be computed ahead of the consumer


def parallel_map(name: str, count: int, read: Callable[[int], T]) -> Iterator[T]:
    """Yields `read(i)` for i in range(count), in order, computed ahead by threads; prints progress."""
    progress = Progress(name, count, unit="images", show_after_s=5.0)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for start in range(0, count, AHEAD):
                numbers = range(start, min(start + AHEAD, count))
                yield from pool.map(read, numbers)
                progress.update(numbers.stop, {})
        finally:
            pool.shutdown(cancel_futures=True)

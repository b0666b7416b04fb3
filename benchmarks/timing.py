"""Rates measured side by side: every contender has a turn in each round, in another order each time."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Rate(NamedTuple):
    """Medians over the rounds."""

    per_second: float
    per_cpu_second: float  # of all threads of this process, so per core that is busy


def interleaved(contenders: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, Rate]:
    """How many things a second each contender does; a call does some of them and returns how many.

    One call of each comes first and is not counted.
    """
    for call in contenders.values():
        call()
    found: dict[str, list[Rate]] = {name: [] for name in contenders}
    order = list(contenders)
    for turn in range(rounds):
        random.Random(turn).shuffle(order)
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            count = contenders[name]()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found[name].append(Rate(count / wall, count / max(cpu, 1e-9)))
    return {name: Rate(*map(statistics.median, zip(*rates, strict=True))) for name, rates in found.items()}

"""Our training step, started as `compare-gan train` does: without waiting for the end of the step before.

  python -m benchmarks.contenders.accelerator MODEL BATCH_SIZE BINDING...

A line of input is a number of steps, or `{"trace": FOLDER, "steps": N}`: then the answer tells where the time
of N steps goes, in milliseconds of one, and the folder gets the profiler's files.
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.contenders.ours import Training, flops, jax
from benchmarks.contenders.turns import listen, timed
from benchmarks.hlo import operations
from benchmarks.models import gan_of
from benchmarks.step_profile import events, grouped, profiled, spent

ROWS = 25  # of each table of a trace


def main() -> None:
    name, batch_size, *bindings = sys.argv[1:]
    gan, device = gan_of(name, int(batch_size), *bindings), jax.devices()[0]
    began = time.perf_counter()
    training, metrics = Training(gan), None

    def step() -> None:
        nonlocal metrics
        training.state, metrics = training.step(training.state, *training.inputs)

    take = timed(step, lambda: jax.block_until_ready(metrics))
    take(1)
    first_step = time.perf_counter() - began

    def trace(folder: Path, steps: int) -> dict[str, Any]:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        options.host_tracer_level = 1
        with jax.profiler.trace(folder, profiler_options=options):
            take(steps)
        rows = spent(operations(training.step.as_text()), events(folder), steps)
        kernels = summed(profiled(folder), steps)
        return {
            "kernels_ms": sum(ms for _, ms, _ in kernels),
            "kernels": table(kernels),
            "operations_ms": sum(row.ms for row in rows),
            "kinds": table(grouped(rows, "kind")),
            "functions": table(grouped(rows, "direction", "source")),
            "slowest": table((f"{r.operation.name} {r.operation.shape}", r.ms, r.calls) for r in rows),
        }

    def handle(question: Any) -> dict[str, Any]:
        if isinstance(question, int):
            return take(question)
        return trace(Path(question["trace"]), question["steps"])

    memory = device.memory_stats() or {}  # None on a CPU
    listen(
        handle,
        device=device.device_kind,
        platform=device.platform,
        flops=flops(gan),
        first_step_seconds=first_step,
        memory_bytes=memory.get("peak_bytes_in_use"),
        jax=jax.__version__,
    )


def summed(seen: Iterable[dict[str, Any]], steps: int) -> list[tuple[str, float, float]]:
    """Name, milliseconds and calls of everything that ran in a step, those of an operation or not."""
    total: dict[str, list[float]] = {}
    for event in seen:
        total.setdefault(event["name"], []).append(event["dur"] / 1e3)
    rows = [(name, sum(times) / steps, len(times) / steps) for name, times in total.items()]
    return sorted(rows, key=lambda row: -row[1])


def table(rows: Iterable[tuple[str, float, float]]) -> list[dict[str, Any]]:
    """The first rows of a table of names, milliseconds and calls."""
    return [{"name": name, "ms": round(ms, 4), "calls": calls} for name, ms, calls in list(rows)[:ROWS]]


if __name__ == "__main__":
    main()

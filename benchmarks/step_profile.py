"""Where the time of a training step goes: per kind of operation, per function, and the slowest operations.

    python -m benchmarks.step_profile --model small28 --json out.json

Times are those of JAX's profiler, in milliseconds of one step: of all threads of a CPU, or of a GPU. A fusion
counts for the function of its last operation. "forward" includes the optimisers, "backward" is what JAX
derived.
"""

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.hlo import Operation, operations
from benchmarks.models import MODELS, gan_of

WARM_UP = 3  # steps


class Spent(NamedTuple):
    """Time of one operation, in one step."""

    operation: Operation
    ms: float
    calls: float


def profiled(trace: Path) -> Iterable[dict[str, Any]]:
    """What the profiler saw take time; `trace` is its folder.

    If there is an accelerator, the host's events, which launch its kernels, are left out.
    """
    (file,) = trace.rglob("*.trace.json.gz")
    with gzip.open(file) as opened:
        seen = json.load(opened)["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in seen if event.get("name") == "process_name"}
    accelerators = {pid for pid, name in names.items() if name.startswith("/device:")}
    for event in seen:
        if event.get("ph") == "X" and (not accelerators or event["pid"] in accelerators):
            yield event


def events(trace: Path) -> Iterable[tuple[str, float]]:
    """Name and milliseconds of each operation in `profiled`."""
    for event in profiled(trace):
        if name := event.get("args", {}).get("hlo_op"):
            yield name, event["dur"] / 1e3


def spent(known: dict[str, Operation], seen: Iterable[tuple[str, float]], steps: int) -> list[Spent]:
    """Time per step of each operation, slowest first. Control flow is left out: its parts are counted."""
    total: dict[str, list[float]] = {}
    for name, ms in seen:
        if name in known and known[name].kind != "control flow":
            total.setdefault(name, []).append(ms)
    rows = [Spent(known[name], sum(times) / steps, len(times) / steps) for name, times in total.items()]
    return sorted(rows, key=lambda row: -row.ms)


def grouped(rows: Iterable[Spent], *fields: str) -> list[tuple[str, float, float]]:
    """Sums of milliseconds and calls over equal values of some fields of the operations, largest first."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        key = "  ".join(str(getattr(row.operation, field)) for field in fields)
        entry = sums.setdefault(key, [0.0, 0.0])
        entry[0] += row.ms
        entry[1] += row.calls
    return sorted(((key, ms, calls) for key, (ms, calls) in sums.items()), key=lambda row: -row[1])


def measure(model: str, batch_size: int | None, steps: int) -> tuple[list[Spent], float]:
    """Operations of a step, and its wall time without the profiler in milliseconds."""
    from benchmarks.contenders.ours import Training, jax  # sets up memory before it imports JAX

    training = Training(gan_of(model, batch_size))
    known = operations(training.step.as_text())
    for _ in range(WARM_UP):
        training()
    wall = time.perf_counter()
    for _ in range(steps):
        training()
    wall = 1e3 * (time.perf_counter() - wall) / steps
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                training()
        return spent(known, events(Path(folder)), steps), wall


def show(title: str, rows: Iterable[tuple[str, float, float]], total: float) -> None:
    print(f"\n{title:<78} {'ms':>8} {'share':>6} {'calls':>6}")
    for name, ms, calls in rows:
        print(f"  {name:<76} {ms:>8.2f} {ms / total:>6.1%} {calls:>6.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="small28", choices=MODELS)
    parser.add_argument("--batch-size", type=int, help="in place of the model's own")
    parser.add_argument("--steps", type=int, default=5, help="steps in the trace")
    parser.add_argument("--top", type=int, default=25, help="rows of each table")
    parser.add_argument("--json", type=Path, help="where to write all operations")
    arguments = parser.parse_args()
    size = arguments.batch_size or MODELS[arguments.model].batch_size
    rows, wall = measure(arguments.model, size, arguments.steps)
    total = sum(row.ms for row in rows)
    print(f"{arguments.model}, batch of {size}: {wall:.1f} ms a step; operations {total:.1f} ms")
    by_kind, by_source = grouped(rows, "kind"), grouped(rows, "direction", "source")
    show("kind of operation", by_kind[: arguments.top], total)
    show("function", by_source[: arguments.top], total)
    show("function and kind", grouped(rows, "direction", "source", "kind")[: arguments.top], total)
    slowest = [
        (f"{row.operation.name}  {row.operation.shape}  {row.operation.source}", row.ms, row.calls)
        for row in rows[: arguments.top]
    ]
    show("slowest operations", slowest, total)
    if arguments.json:
        figures: dict[str, Any] = {
            "model": arguments.model,
            "batch_size": size,
            "step_ms": wall,
            "operations": [row.operation.__dict__ | {"ms": row.ms, "calls": row.calls} for row in rows],
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()

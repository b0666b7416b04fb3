"""Single convolutions on a CPU: ours, XLA's own, and PyTorch's, channels last, if it is installed.

    python -m benchmarks.convolutions --json convolutions.json --figure convolutions.svg

Forward pass, input gradient and kernel gradient, in float32 and bfloat16. Each library is a process; they
have turns, in another order in each round, and the figures are medians over the rounds. Operations are the
useful ones, the same for all libraries, see `benchmarks.cases`. "share" is ours relative to the fastest
product of two large matrices of the same type, measured in the same run.
"""

import argparse
import contextlib
import importlib.util
import json
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, DTYPES, OPERATIONS, PRODUCT, QUICK, Case
from benchmarks.contender import Contender, use_cores
from benchmarks.figure import grid

OURS, XLA, TORCH = "ours", "xla", "torch"
SLOW_S = 0.5  # a contender whose call takes longer has one turn
WIDE = 16  # channels from which an entry is among the worst
WORST = 10


def times(contenders: dict[str, Contender], question: dict[str, Any], rounds: int) -> dict[str, float]:
    """Median seconds of a call, of each contender."""
    taken = {name: [contender.ask(question)["seconds"]] for name, contender in contenders.items()}
    for turn in range(1, rounds):
        order = [name for name in contenders if taken[name][0] < SLOW_S]
        random.Random(turn).shuffle(order)
        for name in order:
            taken[name].append(contenders[name].ask("turn")["seconds"])
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def entry(case: Case, operation: str, dtype: str, seconds: dict[str, float], peak: float) -> dict[str, Any]:
    """One line of the table; `peak` is in operations a second."""
    rates = {name: case.flops / each for name, each in seconds.items()}
    return {
        "case": case.name,
        "channels": min(case.c_in, case.c_out),
        "operation": operation,
        "dtype": dtype,
        "seconds": seconds,
        "gflops": {name: rate / 1e9 for name, rate in rates.items()},
        "share": {name: rate / peak for name, rate in rates.items()},
        "ratios": {name: each / seconds[OURS] for name, each in seconds.items() if name != OURS},
    }


def geometric_mean(values: Iterable[float]) -> float:
    return statistics.geometric_mean(values) if (values := list(values)) else math.nan


def means(entries: Sequence[dict[str, Any]], to: str) -> list[tuple[str, list[float]]]:
    """Geometric means of ours over another library, by type: of each operation, then of all."""
    rows = []
    for dtype in DTYPES:
        some = [each for each in entries if each["dtype"] == dtype and to in each["ratios"]]
        if some:
            by = [[each for each in some if each["operation"] == operation] for operation in OPERATIONS]
            rows.append((dtype, [geometric_mean(e["ratios"][to] for e in part) for part in (*by, some)]))
    return rows


def worst(entries: Iterable[dict[str, Any]], to: str) -> list[dict[str, Any]]:
    """The entries of `WIDE` channels and more where ours is slowest relative to another library."""
    wide = [each for each in entries if each["channels"] >= WIDE and to in each["ratios"]]
    return sorted(wide, key=lambda each: each["ratios"][to])[:WORST]


def line(each: dict[str, Any], names: Iterable[str]) -> str:
    rates = "".join(f"{each['gflops'][name]:>8.0f}" for name in names)
    ratios = "".join(f"{ratio:>11.2f}" for ratio in each["ratios"].values())
    return f"{label(each)}{rates}{each['share'][OURS]:>7.0%}{ratios}"


def label(each: dict[str, Any]) -> str:
    return f"{each['case']:<32}{each['operation']:<16}{each['dtype']:<9}"


def picture(entries: Sequence[dict[str, Any]], to: str) -> str:
    """Ours over another library, a row for each convolution and a column for each operation and type."""
    columns = {(e["operation"], e["dtype"]): f"{e['operation']}, {e['dtype']}" for e in entries}
    rows: dict[str, dict[str, tuple[float, str]]] = {}
    for each in entries:
        column = columns[each["operation"], each["dtype"]]
        ratio = each["ratios"][to]
        rows.setdefault(each["case"], {})[column] = ratio, f"{each['gflops'][OURS]:.0f} ({ratio:.2f}x)"
    return grid(rows, list(columns.values()), title=f"GFLOP/s of ours, and ours over {to}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few convolutions only")
    parser.add_argument("--dtypes", default=",".join(DTYPES), help="some of them, by commas")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--threads", type=int, help="cores to use; all by default")
    parser.add_argument("--json", type=Path, help="where to write all figures, as they come")
    parser.add_argument("--figure", type=Path, help="where to write a picture of the ratios (.svg)")
    arguments = parser.parse_args()
    dtypes = arguments.dtypes.split(",")
    if unknown := set(dtypes) - set(DTYPES):
        parser.error(f"--dtypes {unknown.pop()}; use {' or '.join(DTYPES)}")
    use_cores(arguments.threads)
    names = [OURS, XLA, *([TORCH] if importlib.util.find_spec("torch") else [])]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = {}
        for name in names:
            start = [sys.executable, "-m", "benchmarks.contenders.convolutions", name]
            contenders[name] = Contender(start, folder / f"{name}.log")
            stack.callback(contenders[name].close)
        result: dict[str, Any] = {"about": {name: each.about for name, each in contenders.items()}}
        print(*(f"{name}: {about}" for name, about in result["about"].items()), sep="\n")
        products = {dtype: times(contenders, {"dtype": dtype}, arguments.rounds) for dtype in dtypes}
        peaks = {dtype: 2 * PRODUCT**3 / min(seconds.values()) for dtype, seconds in products.items()}
        print(
            "matrix product:", ", ".join(f"{peak / 1e9:.0f} GFLOP/s {dtype}" for dtype, peak in peaks.items())
        )
        heads = "".join(f"{name:>8}" for name in names) + f"{'share':>7}"
        print(f"\n{'GFLOP/s':<57}{heads}" + "".join(f"{'ours/' + name:>11}" for name in names[1:]))
        entries = list[dict[str, Any]]()
        result |= {"peaks": peaks, "entries": entries}
        for case in QUICK if arguments.quick else CASES:
            for dtype in dtypes:
                for operation in OPERATIONS:
                    question = {"case": case, "operation": operation, "dtype": dtype}
                    seconds = times(contenders, question, arguments.rounds)
                    entries.append(entry(case, operation, dtype, seconds, peaks[dtype]))
                    print(line(entries[-1], names), flush=True)
                    if arguments.json:
                        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    summary(entries, names[1:])
    if arguments.figure:
        arguments.figure.write_text(picture(entries, names[-1]))


def summary(entries: Sequence[dict[str, Any]], others: Iterable[str]) -> None:
    """Prints geometric means and the worst entries."""
    for other in others:
        heads = "".join(f"{operation:>17}" for operation in (*OPERATIONS, "all"))
        print(f"\n{f'geometric means of ours/{other}':<34}{heads}")
        for dtype, values in means(entries, other):
            print(f"  {dtype:<32}" + "".join(f"{value:>17.2f}" for value in values))
        print(f"the worst from {WIDE} channels")
        for each in worst(entries, other):
            print(f"  {label(each)}{each['ratios'][other]:.2f}")


if __name__ == "__main__":
    main()

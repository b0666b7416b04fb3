"""Training steps per second, compared with other libraries, in turns.

  python -m benchmarks.train --models resnet_cifar,ssgan_cifar --peers FOLDER --json out.json

If PyTorch is installed, some models are compared with the same network written by hand in it (see
`benchmarks.contenders.torch_networks`). FOLDER holds checkouts of other libraries: `mimicry` and
`PyTorch-StudioGAN` (need PyTorch, and StudioGAN its requirements, in this Python), and `compare_gan` (needs
TensorFlow 1.15 in the Python that --peer-python names). Who is not there is left out. Each contender is a
process of its own that waits while another has its turn.
"""

import argparse
import contextlib
import importlib.util
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, use_cores
from benchmarks.figure import bars
from benchmarks.models import MODELS, PARTS

HERE = Path(__file__).parent / "contenders"
OURS, BF16 = "compare_gan (this)", "compare_gan (this), bfloat16"
TORCH = "PyTorch by hand"
BY_HAND = ("small8", "small28", "small32", "dcgan32", "dcgan64", "sndcgan32", "sndcgan64")
MIMICRY = ("resnet_cifar", "resnet_cifar_5", "resnet_stl", "ssgan_cifar", "sndcgan32", "sndcgan64")
STUDIOGAN = ("biggan32", "biggan128")
# Floating-point operations a second in dense products, from the vendors' data sheets; float32 uses TF32.
PEAKS = {
    "H100": {"bfloat16": 989e12, "float32": 494e12},
    "H200": {"bfloat16": 989e12, "float32": 494e12},
    "A100": {"bfloat16": 312e12, "float32": 156e12},
}


def peak(device: str, precision: str) -> float | None:
    """The peak of a device, None if it is not known. `device` is the name that JAX gives it."""
    return next((peaks[precision] for kind, peaks in PEAKS.items() if kind in device), None)


def commands(model: str, arguments: argparse.Namespace) -> dict[str, list[str]]:
    """How to start each contender for a model."""
    size = str(arguments.batch_size or MODELS[model].batch_size)
    ours = [sys.executable, "-m", "benchmarks.contenders.ours", model, size]
    found = {OURS: ours}
    if arguments.bf16:
        found[BF16] = [*ours, "precision.compute = 'bfloat16'"]
    if arguments.parts:
        found |= {f"with {part}": [*ours, *bindings] for part, bindings in PARTS.items()}
    torch = importlib.util.find_spec("torch")
    if model in BY_HAND and torch:
        found[TORCH] = [sys.executable, "-m", "benchmarks.contenders.torch_networks", model, size]
    if arguments.peers is None:
        return found
    mimicry, studiogan = arguments.peers / "mimicry", arguments.peers / "PyTorch-StudioGAN"
    if model in MIMICRY and mimicry.is_dir() and torch:
        found["mimicry"] = [sys.executable, str(HERE / "mimicry.py"), str(mimicry), model, size]
    if model in STUDIOGAN and studiogan.is_dir() and torch:
        start = [sys.executable, str(HERE / "studiogan.py"), str(studiogan), model, size]
        found["StudioGAN"] = [*start, "float32"]
        if arguments.bf16:
            found["StudioGAN, mixed precision"] = [*start, "mixed"]
    original = arguments.peers / "compare_gan"
    if not MODELS[model].recipes and original.is_dir() and arguments.peer_python:
        script, bindings = str(HERE / "compare_gan_tf1.py"), MODELS[model].settings(int(size))
        found["compare_gan"] = [arguments.peer_python, script, str(original), size, *bindings]
    return found


def measure(model: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians over the rounds, of every contender that can be started."""
    with contextlib.ExitStack() as stack:
        running, missing = {}, {}
        for name, command in commands(model, arguments).items():
            try:
                contender = Contender(command, folder / f"{model}-{len(running)}.log")
            except (OSError, RuntimeError) as error:
                missing[name] = str(error)
                continue
            stack.callback(contender.close)
            running[name] = contender
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in running}
        for turn in range(arguments.rounds):
            order = list(running)
            random.Random(turn).shuffle(order)
            for name in order:
                taken[name].append(running[name].take(arguments.steps))
        about = {name: contender.about for name, contender in running.items()}
    size = arguments.batch_size or MODELS[model].batch_size
    rows = {}
    for name, times in taken.items():
        seconds = statistics.median(time["seconds"] for time in times) / arguments.steps
        cpu = statistics.median(time["cpu_seconds"] for time in times) / arguments.steps
        row = {"steps_per_second": 1 / seconds, "images_per_second": size / seconds, "cpu_seconds": cpu}
        if "flops" in about[name]:
            row["flops_per_second"] = about[name]["flops"] / seconds
            if limit := peak(about[name]["device"], "bfloat16" if name == BF16 else "float32"):
                row["share_of_peak"] = row["flops_per_second"] / limit
        rows[name] = row
    return {"batch_size": size, "rates": rows, "about": about, "missing": missing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default="resnet_cifar", help=f"some of {', '.join(MODELS)}, by commas")
    parser.add_argument("--peers", type=Path, help="folder with checkouts of the others")
    parser.add_argument("--peer-python", help="a Python 3.7 that has TensorFlow 1.15")
    parser.add_argument("--bf16", action="store_true", help="ours in bfloat16, too")
    parser.add_argument("--parts", action="store_true", help="ours with DiffAugment, ADA, LeCam and R1, too")
    parser.add_argument("--batch-size", type=int, help="in place of each model's own")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--steps", type=int, default=1, help="in each turn")
    parser.add_argument("--threads", type=int, help="cores to use; all by default")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--figure", type=Path, help="where to write a picture of the ratios (.svg)")
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    if unknown := [name for name in models if name not in MODELS]:
        parser.error(f"no model is called {unknown[0]!r}; there are {', '.join(MODELS)}")
    use_cores(arguments.threads)
    results, ratios = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            results[model] = result = measure(model, arguments, Path(folder))
            show(model, result)
            for name, row in result["rates"].items():
                if name != OURS and OURS in result["rates"]:
                    ours = result["rates"][OURS]["steps_per_second"]
                    ratios[f"{model}/{name}"] = ours / row["steps_per_second"]
            if arguments.json:
                figures = {"ratios": ratios, "models": results}
                arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("\nours over theirs, in steps a second")
    for name, ratio in ratios.items():
        print(f"  {name:<40} {ratio:.2f}")
    if arguments.figure:
        arguments.figure.write_text(bars(ratios))


def show(model: str, result: dict[str, Any]) -> None:
    """Prints what was measured of one model."""
    levels = [about["kernels"] for about in result["about"].values() if about.get("kernels")]
    also = f", C++ kernels for {levels[0]}" if levels else ""
    print(f"\n{model}, batches of {result['batch_size']}{also}")
    print(f"  {'':<30} {'s/step':>8} {'images/s':>9} {'cpu s/step':>11} {'GFLOP/s':>9} {'of peak':>8}")
    for name, row in result["rates"].items():
        flops = f"{row['flops_per_second'] / 1e9:,.0f}" if "flops_per_second" in row else ""
        share = f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else ""
        print(
            f"  {name:<30} {1 / row['steps_per_second']:>8.3f} {row['images_per_second']:>9,.1f} "
            f"{row['cpu_seconds']:>11.2f} {flops:>9} {share:>8}",
            flush=True,
        )
    for name, why in result["missing"].items():
        print(f"  {name}: left out, {why}")


if __name__ == "__main__":
    main()

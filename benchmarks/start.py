"""Time from the start of `compare-gan train` to the end of its first step, without and with cached programs.

    python -m benchmarks.start [NAME ...] --rounds 3 --json out.json

Each run is a process of its own. A cold run has an empty compilation cache, the next one uses what the cold
run left. The time of a later step is subtracted: what remains is imports, data, tracing and compilation.
Training runs on generated images, except for the demo's networks, which get the embedded digits.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CIFAR = ["--data_fake_dataset", "--gin_bindings", "options.disc_iters = 1"]
CONFIGURATIONS = {
    "demo": ["--gin_config", "small.gin", "--gin_config", "s3gan.gin", "--data", "digits"],
    "resnet_cifar": ["--gin_config", "resnet_cifar10.gin", *CIFAR],
    "s3gan_cifar": ["--gin_config", "s3gan_cifar10.gin", *CIFAR],
}
STEPS = 3  # taken in each run; the last one is the one whose time is subtracted


def run_child(command: list[str]) -> None:
    """In a process of its own: runs a command, and prints the times at which steps end."""
    from compare_gan.core.allocator import keep_freed_memory

    keep_freed_memory()  # before JAX is imported, as the command does
    from compare_gan.training import loop

    call, times = loop.call_hooks, list[dict[str, float]]()

    def timed(hooks: Any, step: int, state: Any, metrics: Any) -> Any:
        import jax

        action = call(hooks, step, state, metrics)
        jax.block_until_ready(state)
        times.append({"seconds": time.time(), "cpu_seconds": cpu_seconds()})
        if step == STEPS:
            print(json.dumps(times), flush=True)
            os._exit(0)
        return action

    loop.call_hooks = timed
    from compare_gan.main import run

    sys.argv[1:] = command
    run()


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(name: str, folder: Path) -> dict[str, dict[str, float]]:
    """One cold and one warm run of a configuration."""
    found = {}
    for kind in ("cold", "warm"):
        command = ["train", *CONFIGURATIONS[name], "--model_dir", str(folder / kind)]
        command += ["--gin_bindings", f"options.training_steps = {100 * STEPS}"]
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
        began = time.time()
        child = [sys.executable, "-m", "benchmarks.start", "--child", *command]
        output = subprocess.run(child, check=True, capture_output=True, text=True, env=environment).stdout
        start, first, *_, before, last = json.loads(output.splitlines()[-1])
        found[kind] = {"before_step": start["seconds"] - began, "first_step": first["seconds"] - began}
        for what, zero in (("seconds", began), ("cpu_seconds", 0.0)):
            found[kind][what] = first[what] - zero - (last[what] - before[what])
    return found


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(CONFIGURATIONS)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - CONFIGURATIONS.keys():
        parser.error(f"no configuration is called {min(unknown)!r}; there are {', '.join(CONFIGURATIONS)}")
    report = {}
    print(f"{'':<20}{'step 0':>10}{'step 1':>10}{'without the step':>20}{'processor time':>18}")
    for name in arguments.names or CONFIGURATIONS:
        rounds = []
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                rounds.append(measure(name, Path(folder)))
        for kind in ("cold", "warm"):
            row = {what: statistics.median(r[kind][what] for r in rounds) for what in rounds[0][kind]}
            report[f"{name}/{kind}"] = row
            print(
                f"{name + ', ' + kind:<20}{row['before_step']:>8.1f} s{row['first_step']:>8.1f} s"
                f"{row['seconds']:>18.1f} s{row['cpu_seconds']:>16.1f} s",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

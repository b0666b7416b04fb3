"""Measurements on a machine with one GPU, in a few minutes; `benchmarks/gpu.sh` starts it.

Training speed comes first, then a piece of the few-labels study on CIFAR-10. Whatever is known is a line of
`results.jsonl` at once, so a run that is killed loses nothing, and the same command resumes.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contender import Contender
from benchmarks.models import narrow
from benchmarks.train import HERE, peak
from compare_gan.core.files import write_json

RESULTS, SUMMARY = "results.jsonl", "summary.json"  # in the output folder
TRACE, STUDY = "trace.tar.gz", "study.tar"
PART_BYTES = 15 * 2**20  # of the archive of the study
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "torch", "numpy")
OURS, STUDIOGAN = "compare_gan (this)", "StudioGAN"
ROUNDS = 3  # turns of each contender
TRACED_STEPS = 3
FIRST_SHARE = 0.55  # of the time for speed, at most, for the first group
SPARE_SECONDS = 16.0  # at the end: half to stop the study, half to write archives
POLL_SECONDS = 5.0
PRODUCT = "product"
OUT_OF_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is."""

    batch_sizes: Mapping[str, int]  # by model
    bindings: Mapping[str, Sequence[str]]  # by model
    product_side: int
    turn_seconds: float
    environment: Mapping[str, str]  # of contenders, where that of this process says nothing else
    speed_share: float  # of the time; the rest is for the study
    study: Sequence[str]  # options of `benchmarks.study`


INITIALIZER = "weights.initializer = 'normal'"  # compiles in less time than orthogonal kernels
GPU = Scale(
    batch_sizes={"resnet_cifar": 64, "s3gan_cifar": 64, "biggan32": 64, "biggan128": 256},
    bindings={},
    product_side=8192,
    turn_seconds=1.0,
    environment={"CUDA_VISIBLE_DEVICES": "0"},
    speed_share=0.45,
    study=("--protocol", "cifar10", "--budget", "gpu"),
)


QUICK = "--xla_backend_optimization_level=0"  # to compile
if tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11):
    QUICK += " --xla_cpu_use_fusion_emitters=false"
SMOKE = Scale(
    batch_sizes={"resnet_cifar": 4, "s3gan_cifar": 16, "biggan32": 4, "biggan128": 2},
    bindings={
        "resnet_cifar": narrow("resnet_cifar", 8),
        "s3gan_cifar": narrow("resnet_cifar", 8),
        "biggan32": narrow("resnet_biggan", 4),
        "biggan128": narrow("resnet_biggan", 4),
    },
    product_side=256,
    turn_seconds=0.1,
    environment={
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": QUICK,
    },
    speed_share=0.65,
    study=("--protocol", "smoke", "--budget", "look"),
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is measured: a model, trained by a contender with a precision."""

    model: str
    contender: str
    precision: str  # float32 (TF32 where the device has it), bfloat16, or mixed (float16, of PyTorch)

    def __str__(self) -> str:
        return f"{self.model}, {self.contender}, {self.precision}"


# In order of value. The members of a group take turns on the device; one after another, if the memory of the
# device is for one at a time.
BIGGAN128 = [Entry("biggan128", OURS, "bfloat16")]
SMALL = [
    Entry("biggan32", OURS, "bfloat16"),
    Entry("biggan32", STUDIOGAN, "mixed"),
    Entry("biggan32", OURS, "float32"),
    Entry("biggan32", STUDIOGAN, "float32"),
    Entry("s3gan_cifar", OURS, "bfloat16"),
    Entry("resnet_cifar", OURS, "bfloat16"),
    Entry("s3gan_cifar", OURS, "float32"),
    Entry("resnet_cifar", OURS, "float32"),
]
REST = [
    [Entry("biggan128", STUDIOGAN, "mixed")],
    [Entry("biggan128", OURS, "float32")],
    [Entry("biggan128", STUDIOGAN, "float32")],
]


class Results:
    """The lines of `results.jsonl`. Each is one write, so a killed process can only cut the last one."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # the last line was cut
                    file.write(b"\n")
        self.lines = list(read(path))

    def add(self, kind: str, **values: Any) -> None:
        line = {"kind": kind, "time": time.strftime("%Y-%m-%dT%H:%M:%S"), **values}
        self.lines.append(line)
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        print(json.dumps(line), flush=True)

    def of(self, kind: str, entry: Entry | None = None) -> list[dict[str, Any]]:
        """The lines of a kind, about an entry."""
        wanted = {} if entry is None else dataclasses.asdict(entry)
        return [
            line
            for line in self.lines
            if line["kind"] == kind and all(line.get(key) == value for key, value in wanted.items())
        ]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file that are whole."""
    for line in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict) and "kind" in value:
                yield value


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of this script. Times are those of `time.monotonic`."""

    results: Results
    out: Path
    work: Path
    scale: Scale
    deadline: float
    studiogan: Path | None

    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def environment(self, shared: bool) -> dict[str, str]:
        """That of a contender; `shared` with others on the device."""
        memory = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9"}
        if shared:
            memory = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(self.work / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        return cache | memory | dict(self.scale.environment) | os.environ

    def command(self, entry: Entry, batch_size: int) -> list[str]:
        if entry.contender == STUDIOGAN:
            script = str(HERE / "studiogan.py")
            return [
                sys.executable,
                script,
                str(self.studiogan),
                entry.model,
                str(batch_size),
                entry.precision,
            ]
        bindings = [*self.scale.bindings.get(entry.model, ()), INITIALIZER]
        bindings.append(f"precision.compute = '{entry.precision}'")
        start = [sys.executable, "-m", "benchmarks.contenders.accelerator"]
        return [*start, entry.model, str(batch_size), *bindings]

    def log(self, name: str) -> Path:
        folder = self.work / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / (re.sub(r"\W+", "-", name) + ".log")


def missing(run: Run, entry: Entry) -> bool:
    """Whether an entry can be measured and is not yet."""
    possible = entry.contender == OURS or run.studiogan is not None
    traced = entry not in BIGGAN128 or run.results.of("trace")
    return possible and not (traced and turns_done(run, entry))


def turns_done(run: Run, entry: Entry) -> bool:
    return len(run.results.of("turn", entry)) >= ROUNDS


def measure_speed(run: Run, deadline: float) -> None:
    """Measures the groups, the most valuable first, until the deadline."""
    now = time.monotonic()
    measure_group(run, BIGGAN128, now + FIRST_SHARE * (deadline - now))
    measure_group(run, SMALL, deadline)
    measure_products(run, deadline)
    for group in REST:
        measure_group(run, group, deadline)


def measure_group(run: Run, group: Sequence[Entry], deadline: float) -> None:
    """Turns of the members of a group that are not yet measured, each in a process of its own."""
    entries = [entry for entry in group if missing(run, entry)]
    workers = max(1, min(len(entries), max(2, (os.cpu_count() or 1) // 2)))
    with contextlib.ExitStack() as stack:
        running: dict[Entry, tuple[Contender, int, int]] = {}  # with batch size, and steps of a turn
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            started = pool.map(lambda entry: start(run, entry, deadline, len(group) > 1), entries)
            for entry, found in zip(entries, started, strict=True):
                if isinstance(found, str):
                    run.results.add("failed", **dataclasses.asdict(entry), why=found)
                    continue
                contender, batch_size = found
                stack.callback(contender.close)
                first = contender.about | {"batch_size": batch_size}
                run.results.add("ready", **dataclasses.asdict(entry), **first)
                running[entry] = contender, batch_size, 0
        for turn in range(ROUNDS):
            order = [entry for entry in running if not turns_done(run, entry)]
            random.Random(turn).shuffle(order)
            for entry in order:
                contender, batch_size, steps = running[entry]
                try:
                    if not steps:
                        seconds = min(contender.take(2)["seconds"] / 2, contender.take(4)["seconds"] / 4)
                        steps = max(1, min(500, round(run.scale.turn_seconds / seconds)))
                        running[entry] = contender, batch_size, steps
                    line = rates(contender, batch_size, steps, entry.precision)
                except (OSError, RuntimeError, TimeoutError) as error:
                    run.results.add("failed", **dataclasses.asdict(entry), why=str(error))
                    del running[entry]
                    continue
                run.results.add("turn", **dataclasses.asdict(entry), **line)
        write_summary(run)
        for entry in running:
            if group is BIGGAN128 and not run.results.of("trace"):
                write_trace(run, entry, running[entry][0])


def start(run: Run, entry: Entry, deadline: float, shared: bool) -> tuple[Contender, int] | str:
    """Starts a contender with the largest batch that fits, at most that of the scale.

    Args:
      run: this run.
      entry: what to start.
      deadline: when it must have taken all its turns.
      shared: whether others are on the device.

    Returns:
      The contender and its batch size, or why there is none.
    """
    size = min(
        [run.scale.batch_sizes[entry.model]]
        + [line["batch_size"] for line in run.results.of("ready") if line["model"] == entry.model]
    )
    while time.monotonic() < deadline:
        log = run.log(f"{entry}, {size}")
        try:
            command, environment = run.command(entry, size), run.environment(shared)
            return Contender(command, log, environment, deadline), size
        except TimeoutError as error:
            return str(error)
        except (OSError, RuntimeError) as error:
            if size == 1 or not (log.exists() and OUT_OF_MEMORY.search(log.read_text(errors="replace"))):
                return str(error)
            size //= 2
    return "no time left"


def rates(contender: Contender, batch_size: int, steps: int, precision: str) -> dict[str, Any]:
    """One turn, and what follows from it."""
    seconds = contender.take(steps)["seconds"]
    per_second = steps / seconds
    line = {
        "batch_size": batch_size,
        "steps": steps,
        "seconds": seconds,
        "steps_per_second": per_second,
        "images_per_second": batch_size * per_second,
    }
    if "flops" in contender.about:
        line["flops_per_second"] = contender.about["flops"] * per_second
        if limit := peak(contender.about["device"], precision):
            line["share_of_peak"] = line["flops_per_second"] / limit
    return line


def measure_products(run: Run, deadline: float) -> None:
    """The rates of large matrix products, by precision."""
    if len(run.results.of(PRODUCT)) >= 2:
        return
    side = run.scale.product_side
    command = [sys.executable, "-m", "benchmarks.contenders.products", str(side)]
    try:
        contender = Contender(command, run.log(PRODUCT), run.environment(shared=False), deadline)
        with contextlib.closing(contender):
            for precision in ("bfloat16", "float32"):
                found = contender.ask(precision)
                about = {"device": contender.about["device"], "side": side, "precision": precision}
                run.results.add(PRODUCT, **about, **found)
    except (OSError, RuntimeError, TimeoutError) as error:
        run.results.add("failed", model=PRODUCT, why=str(error))


def write_trace(run: Run, entry: Entry, contender: Contender) -> None:
    """Traces a few steps: tables as a line, the profiler's files as an archive."""
    folder = run.work / "trace"
    try:
        answer = contender.ask({"trace": str(folder), "steps": TRACED_STEPS})
        pack(run.out / TRACE, folder)
    except (OSError, RuntimeError, TimeoutError) as error:
        run.results.add("failed", model=entry.model, what="trace", why=str(error))
    else:
        run.results.add("trace", **dataclasses.asdict(entry), **answer)


def pack(archive: Path, folder: Path) -> None:
    """Writes a folder as an archive, which replaces an older one when it is whole."""
    partial = archive.with_name(f".{archive.name}.partial")
    with tarfile.open(partial, "w:gz" if archive.suffix == ".gz" else "w") as file:
        file.add(folder, folder.name)
    os.replace(partial, archive)


def run_study(run: Run, data: Path) -> None:
    """A piece of the study, until the time is up. It resumes from an earlier piece, or the archive of one."""
    folder, log = run.work / "study", run.log("study")
    if not folder.exists():
        unpack(run)
    minutes = (run.left() - SPARE_SECONDS) / 60
    if minutes <= 0:
        run.results.add("failed", model="study", why="no time left")
        return
    command = [sys.executable, "-m", "benchmarks.study", "--data", str(data), "--out", str(folder)]
    command += [*run.scale.study, "--minutes", str(minutes), "--grace", str(SPARE_SECONDS / 2)]
    began, before = time.monotonic(), None
    with log.open("a") as file:
        process = subprocess.Popen(command, env=run.environment(shared=False), stdout=file, stderr=file)
        while process.poll() is None:  # it keeps its time
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
            if (now := progress(folder)) != before:
                run.results.add("study", seconds=round(time.monotonic() - began, 1), **now)
                before = now
    end = {"code": process.returncode, "seconds": round(time.monotonic() - began, 1)}
    run.results.add("study_piece", **end, **progress(folder), log=log.read_text(errors="replace")[-1000:])
    if folder.exists():
        pack_parts(run, folder)


def progress(folder: Path) -> dict[str, Any]:
    """How far a study is: the newest step in each folder with metrics, and the results there are."""
    steps, found = {}, {}
    for path in sorted(folder.rglob("metrics.jsonl")):
        lines = [line for line in path.read_text(errors="replace").splitlines()[-2:]]
        for line in lines:
            with contextlib.suppress(ValueError, KeyError):
                steps[str(path.parent.relative_to(folder))] = json.loads(line)["step"]
    for name in ("label_quality.json", "probe.json", "result.json"):
        for path in sorted(folder.rglob(name)):
            with contextlib.suppress(OSError, ValueError):
                values = json.loads(path.read_text())
                found[str(path.relative_to(folder))] = {
                    key: value for key, value in values.items() if isinstance(value, int | float)
                }
    return {"steps": steps, "found": found}


def pack_parts(run: Run, folder: Path) -> None:
    """Writes the study as an archive in parts, since some places return small files only."""
    archive = run.work / STUDY
    pack(archive, folder)
    for old in run.out.glob(f"{STUDY}.*"):
        old.unlink()
    with archive.open("rb") as file:
        number = 0
        while part := file.read(PART_BYTES):
            (run.out / f"{STUDY}.{number:03}").write_bytes(part)
            number += 1
    archive.unlink()


def unpack(run: Run) -> None:
    """Brings back the study of an earlier run from its archive, if there is one."""
    parts = sorted(run.out.glob(f"{STUDY}.*"))
    if not parts:
        return
    archive = run.work / STUDY
    with archive.open("wb") as file:
        for part in parts:
            file.write(part.read_bytes())
    with tarfile.open(archive) as opened:
        opened.extractall(run.work, filter="data")
    archive.unlink()


def summary(results: Results) -> dict[str, Any]:
    """Medians over the turns, and the ratios to StudioGAN in images a second."""
    rates, ratios = {}, {}
    for entry in (*BIGGAN128, *SMALL, *(entry for group in REST for entry in group)):
        turns = results.of("turn", entry)
        if turns:
            names = (
                "batch_size",
                "steps_per_second",
                "images_per_second",
                "flops_per_second",
                "share_of_peak",
            )
            rates[str(entry)] = {
                name: statistics.median(turn[name] for turn in turns) for name in names if name in turns[0]
            }
    for model in dict.fromkeys(entry.model for entry in (*BIGGAN128, *SMALL)):
        for ours, theirs in (("bfloat16", "mixed"), ("float32", "float32")):
            pair = [str(Entry(model, OURS, ours)), str(Entry(model, STUDIOGAN, theirs))]
            if all(name in rates for name in pair):
                a, b = (rates[name]["images_per_second"] for name in pair)
                ratios[f"{model}, {ours} over {theirs}"] = a / b
    products = {line["precision"]: line["flops_per_second"] for line in results.of(PRODUCT)}
    for name, row in rates.items():
        precision = name.rpartition(", ")[2]
        if "flops_per_second" in row and precision in products:
            row["share_of_product"] = row["flops_per_second"] / products[precision]
    return {"rates": rates, "images_per_second_over_studiogan": ratios, "products": products}


def write_summary(run: Run) -> None:
    write_json(run.out / SUMMARY, summary(run.results))


def machine() -> dict[str, Any]:
    """Versions and the GPU, without starting JAX in this process."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        gpus = subprocess.run(query, capture_output=True, text=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        gpus = []
    return {"python": platform.python_version(), "versions": versions, "gpus": gpus, "cores": os.cpu_count()}


def random_images(path: Path) -> Path:
    """A data set of random images in the shape of CIFAR-10, for a smoke test."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 32, 32, 3), np.uint8)
    np.savez(path, images=images, labels=np.arange(200) % 10)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything else")
    parser.add_argument("--seconds", type=float, default=540, help="time that this may take")
    parser.add_argument("--cifar10", type=Path, help="CIFAR-10, for the study: a parquet folder, or an .npz")
    parser.add_argument("--studiogan", type=Path, help="a checkout of PyTorch-StudioGAN")
    parser.add_argument("--smoke", action="store_true", help="a test on a CPU, with shrunken networks")
    arguments = parser.parse_args()
    now = time.monotonic()
    arguments.work.mkdir(parents=True, exist_ok=True)
    scale, data = GPU, arguments.cifar10
    if arguments.smoke:
        scale, data = SMOKE, data or random_images(arguments.work / "random.npz")
    results, deadline = Results(arguments.out / RESULTS), now + arguments.seconds
    studiogan = arguments.studiogan and arguments.studiogan.resolve()
    run = Run(results, arguments.out, arguments.work.resolve(), scale, deadline, studiogan)
    run.results.add("start", smoke=arguments.smoke, seconds=arguments.seconds, **machine())
    if data is None:
        measure_speed(run, deadline - SPARE_SECONDS)
    else:
        measure_speed(run, now + scale.speed_share * arguments.seconds)
        run_study(run, data)
    write_summary(run)
    run.results.add("end", seconds=round(time.monotonic() - now, 1))
    print(json.dumps(summary(run.results), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

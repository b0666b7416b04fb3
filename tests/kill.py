"""`python -m tests.kill --rounds N`: trainings that are killed in every way, and go on to the same bits.

A tiny GAN is trained once undisturbed. In each round the same command is started in a folder of its own,
disturbed, and given again, `--kills` times; then it may end, and its weights must be those of the undisturbed
run, bit for bit. The ways take turns:

    kill        SIGKILL at any moment, while the program starts or trains
    kill-save   SIGKILL while a checkpoint is being written
    term, int, usr1   the signals of clusters and of Ctrl-C: it saves, says so, and ends with code 130
    full        the disk is full: a small tmpfs where that may be mounted, else a limit on the size of files
    read-only   nothing can be made in the folder of checkpoints any more

After each way all checkpoints must be whole, and what the program said must be no traceback. Exit code 0 if
all rounds were as they should be.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from compare_gan.core.files import read_log
from compare_gan.train.checkpoints import UNFINISHED, Checkpoints, find_corruption

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "compare_gan" / "configs"
STEPS, SAVE_EVERY = 200, 20
SETTINGS = (
    "options.batch_size = 8",
    "options.z_dim = 8",
    f"options.training_steps = {STEPS}",
    f"run_config.save_checkpoints_steps = {SAVE_EVERY}",
    "run_config.keep_checkpoint_max = 2",
    "resnet_small.Generator.ch = 4",
    "resnet_small.Discriminator.ch = 4",
)
STARTING = 5.0  # seconds, about
PATIENCE = 600  # seconds


class Wrong(Exception):
    """Something was not as it should be."""


@dataclasses.dataclass(frozen=True)
class Training:
    """A run folder, and what is known of the undisturbed run."""

    run_dir: Path
    size: int = 0  # bytes of a checkpoint
    largest: int = 0  # bytes of its largest file

    @property
    def checkpoints(self) -> Path:
        return self.run_dir / "checkpoints"

    def start(self, prepare: Callable[[], None] | None = None) -> subprocess.Popen:
        words = ["train", "--model_dir", str(self.run_dir), "--data", "blobs", "--sample_every", str(STEPS)]
        for path in (CONFIGS / "small.gin", CONFIGS / "methods" / "no_labels.gin"):
            words += ["--gin_config", str(path)]
        for line in SETTINGS:
            words += ["--gin_bindings", line]
        return subprocess.Popen(
            [sys.executable, "-m", "compare_gan.main", *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=prepare,
        )

    def step(self) -> int:
        """The last step that was reported."""
        return max((line["step"] for line in read_log(self.run_dir / "metrics.jsonl")), default=0)

    def saving(self) -> bool:
        return any(UNFINISHED in path.name for path in listed(self.checkpoints))

    def weights(self) -> list[tuple[str, bytes]]:
        """All arrays of the last checkpoint, read by Orbax alone."""
        with ocp.StandardCheckpointer() as reader:
            state = reader.restore(self.checkpoints.absolute() / str(STEPS))
        leaves = jax.tree_util.tree_leaves_with_path(state)
        return [(jax.tree_util.keystr(path), np.asarray(leaf).tobytes()) for path, leaf in leaves]


def listed(folder: Path) -> list[Path]:
    """What is in a folder that may not be there yet."""
    with contextlib.suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def wait_until(process: subprocess.Popen, holds: Callable[[], bool]) -> None:
    """Until something holds or the process has ended."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and not holds():
        if time.monotonic() > until:
            process.kill()
            raise Wrong(f"nothing happened in {PATIENCE} seconds")
        time.sleep(0.001)


def ended(process: subprocess.Popen, *codes: int) -> str:
    """What a process said, once it has ended with one of these codes and without a traceback."""
    said, _ = process.communicate(timeout=PATIENCE)
    if process.returncode not in codes or "Traceback" in said:
        raise Wrong(
            f"ended with code {process.returncode}, not {' or '.join(map(str, codes))}: {said[-2000:]}"
        )
    return said


def refused(process: subprocess.Popen) -> str:
    """The one line with which a process said what could not be written."""
    lines = [line for line in ended(process, 0, 2).splitlines() if line.startswith("compare-gan: ")]
    if process.returncode == 0:
        return "done before anything could go wrong"
    if len(lines) != 1:
        raise Wrong(f"one line should say what could not be written; there are {lines}")
    return lines[0]


def later(training: Training, rng: random.Random) -> int:
    """Any step that is still to come."""
    return rng.randint(min(training.step() + 1, STEPS), STEPS)


def kill(training: Training, rng: random.Random) -> str:
    step = rng.choice([0, later(training, rng)])
    process = training.start()
    if step:
        wait_until(process, lambda: training.step() >= step)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, 0.2 if step else STARTING))
    process.kill()
    process.communicate()
    return f"killed at step {training.step()}"


def kill_save(training: Training, rng: random.Random) -> str:
    step = later(training, rng)
    process = training.start()
    wait_until(process, lambda: training.step() >= step)
    wait_until(process, training.saving)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, 0.05))
    process.kill()
    process.communicate()
    whole = set(Checkpoints(training.run_dir).steps())
    begun = [
        path.name for path in listed(training.checkpoints) if path.is_dir() and int_of(path) not in whole
    ]
    return f"killed at step {training.step()}, {f'{begun[0]} was begun' if begun else 'between saves'}"


def int_of(path: Path) -> int | None:
    return int(path.name) if path.name.isdigit() else None


def asked(number: signal.Signals) -> Callable[[Training, random.Random], str]:
    def way(training: Training, rng: random.Random) -> str:
        step = later(training, rng)
        process = training.start()
        wait_until(process, lambda: training.step() >= step)
        process.send_signal(number)
        said = ended(process, 130, 0)
        if process.returncode == 0:
            return "done before the signal"
        (line,) = [line for line in said.splitlines() if "stopped at step" in line]
        stopped = int(line.split("stopped at step ")[1].split()[0])
        if Checkpoints(training.run_dir).steps()[-1] != stopped:
            raise Wrong(f"no checkpoint of the step at which it stopped: {line}")
        return line

    return way


def full(training: Training, rng: random.Random) -> str:
    room = round(rng.uniform(0.2, 2.8) * training.size)  # three checkpoints are there at most
    training.checkpoints.mkdir(parents=True, exist_ok=True)
    held = used(training.checkpoints)
    if held:  # the folder may hold two already
        room = round(held + rng.uniform(0, 0.9) * training.size)
    with tempfile.TemporaryDirectory() as aside:
        kept = Path(aside) / "kept"
        shutil.copytree(training.checkpoints, kept)
        if not mounted(training.checkpoints, room):
            most = round(rng.uniform(0.1, 0.9) * training.largest)
            process = training.start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
            return f"files of at most {most} bytes: {refused(process)}"
        try:
            shutil.copytree(kept, training.checkpoints, dirs_exist_ok=True)
            line = refused(training.start())
            shutil.rmtree(kept)
            shutil.copytree(training.checkpoints, kept)
        finally:
            subprocess.run(["umount", training.checkpoints], check=True)
        shutil.rmtree(training.checkpoints)
        shutil.copytree(kept, training.checkpoints)
    return f"tmpfs of {room} bytes: {line}"


def mounted(folder: Path, size: int) -> bool:
    """Whether a tmpfs of this size could be put over a folder."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0


def used(folder: Path) -> int:
    """Bytes that a folder takes on a disk, in whole pages."""
    page = resource.getpagesize()
    return sum(-(-path.stat().st_size // page) * page for path in folder.rglob("*") if path.is_file())


def read_only(training: Training, rng: random.Random) -> str:
    step = later(training, rng)
    process = training.start()
    wait_until(process, lambda: bool(listed(training.checkpoints)) and training.step() >= step)
    with locked(training.checkpoints) as how:
        if how is None:
            process.kill()
            process.communicate()
            return "skipped: this user may write to a read-only folder, and cannot make it immutable"
        return f"{how}: {refused(process)}"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[str | None]:
    """A folder in which nothing can be made; how, or None where that cannot be had."""
    if os.geteuid():
        mode = folder.stat().st_mode
        folder.chmod(0o555)
        try:
            yield "mode 555"
        finally:
            folder.chmod(mode)
        return
    immutable = shutil.which("chattr") and not subprocess.run(["chattr", "+i", folder]).returncode
    try:
        yield "immutable" if immutable else None
    finally:
        if immutable:
            subprocess.run(["chattr", "-i", folder], check=True)


WAYS: dict[str, Callable[[Training, random.Random], str]] = {
    "kill": kill,
    "kill-save": kill_save,
    "term": asked(signal.SIGTERM),
    "int": asked(signal.SIGINT),
    "usr1": asked(signal.SIGUSR1),
    "full": full,
    "read-only": read_only,
}


def whole(training: Training) -> None:
    """No checkpoint that counts is damaged, and none was set aside."""
    for step in Checkpoints(training.run_dir).steps():
        trouble = find_corruption(training.checkpoints / str(step))
        if trouble:
            raise Wrong(f"checkpoint {step}: {trouble}")
    aside = [path.name for path in listed(training.checkpoints) if "damaged" in path.name]
    if aside:
        raise Wrong(f"set aside: {aside}")


def disturbed(training: Training, ways: list[str], rng: random.Random, expected: list) -> list[str]:
    """Disturbs a training in some ways one after another and lets it end. Returns what happened.

    Raises:
      Wrong: a checkpoint is damaged, something was not told, or the weights are others.
    """
    happened = []
    for way in ways:
        happened.append(f"{way}: {WAYS[way](training, rng)}")
        whole(training)
    ended(training.start(), 0)
    whole(training)
    if training.saving():
        raise Wrong("something unfinished is left in the folder of checkpoints")
    found = training.weights()
    if found != expected:
        others = [name for (name, a), (_, b) in zip(expected, found, strict=False) if a != b]
        raise Wrong(f"{len(others)} of {len(expected)} arrays are not as undisturbed, first {others[:1]}")
    return happened


def undisturbed(run_dir: Path) -> Training:
    """Trains to the end."""
    training = Training(run_dir)
    ended(training.start(), 0)
    last = training.checkpoints / str(STEPS)
    largest = max(path.stat().st_size for path in last.rglob("*") if path.is_file())
    return Training(run_dir, used(last), largest)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="trainings that are disturbed")
    parser.add_argument("--kills", type=int, default=1, help="how often each of them is")
    parser.add_argument("--ways", default=",".join(WAYS), help="which ways take turns")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random")
    parser.add_argument("--json", type=Path, help="results go here too")
    arguments = parser.parse_args(argv)
    ways = arguments.ways.split(",")
    unknown = sorted(set(ways) - WAYS.keys())
    if unknown:
        parser.error(f"no such way: {', '.join(unknown)}; there are {', '.join(WAYS)}")
    turns, rng = itertools.cycle(ways), random.Random(arguments.seed)
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/cache")
        calm = undisturbed(Path(folder) / "undisturbed")
        expected = calm.weights()
        print(f"undisturbed: {len(expected)} arrays", flush=True)
        for i in range(1, arguments.rounds + 1):
            training = dataclasses.replace(calm, run_dir=Path(folder) / f"round-{i}")
            chosen = list(itertools.islice(turns, arguments.kills))
            try:
                happened, wrong = disturbed(training, chosen, rng, expected), None
            except Wrong as error:
                happened, wrong = chosen, str(error)
            rounds.append({"round": i, "ways": chosen, "happened": happened, "wrong": wrong})
            told = "; ".join(happened).replace(folder, "")
            print(
                f"round {i}: {'the same bits' if wrong is None else f'WRONG, {wrong}'} ({told})", flush=True
            )
            shutil.rmtree(training.run_dir)
    failed = sum(each["wrong"] is not None for each in rounds)
    if arguments.json:
        result = {"passed": len(rounds) - failed, "failed": failed, "rounds": rounds}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{len(rounds) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

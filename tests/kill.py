"""`python -m tests.kill --rounds N`: interrupts commands in every way; they must resume to the same files.

`--what` chooses the commands: train, those of `tests.kill_commands`, or all, which take turns. train: a tiny
GAN is trained once without interruption. In each round the same command is started in a new folder,
interrupted and rerun `--kills` times; then it runs to the end, and its weights must equal those of the
uninterrupted run, bit for bit. The kinds of interruption (`--ways`) take turns:

    kill        SIGKILL at any moment, while the program starts or trains
    kill-save   SIGKILL while a checkpoint is being written
    term, int, usr1   the signals of clusters and of Ctrl-C: it saves, reports it, and exits with code 130
    full        the disk is full: a small tmpfs if that can be mounted, else a limit on file sizes
    read-only   the folder of checkpoints becomes read-only

After each interruption all checkpoints must be intact, and the output must not contain a traceback. The exit
code is 0 if all rounds pass.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from compare_gan.core.files import read_log
from compare_gan.training.checkpoints import UNFINISHED, Checkpoints, find_corruption
from tests import kill_commands as commands
from tests.helpers import tfds_set
from tests.helpers.interruption import (
    ROOT,
    Failure,
    Process,
    arrays,
    disk_usage,
    errors_in,
    finish,
    kill,
    limit_file_size,
    listed,
    on_small_disk,
    wait_until,
)
from tests.kill_commands import COMMANDS

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
START_S = 5.0  # approximate seconds until training starts


@dataclasses.dataclass(frozen=True)
class Training:
    """A run folder, and the sizes of checkpoints in the uninterrupted run."""

    run_dir: Path
    size: int = 0  # bytes of a checkpoint
    largest: int = 0  # bytes of its largest file

    @property
    def checkpoints(self) -> Path:
        return self.run_dir / "checkpoints"

    def start(self, prepare: Callable[[], None] | None = None) -> Process:
        words = ["train", "--model_dir", str(self.run_dir), "--data", "blobs", "--sample_every", str(STEPS)]
        for path in (CONFIGS / "small.gin", CONFIGS / "methods" / "no_labels.gin"):
            words += ["--gin_config", str(path)]
        for line in SETTINGS:
            words += ["--gin_bindings", line]
        return Process(words, prepare=prepare)

    def step(self) -> int:
        """The last step that was reported."""
        return max((line["step"] for line in read_log(self.run_dir / "metrics.jsonl")), default=0)

    def saving(self) -> bool:
        return any(UNFINISHED in path.name for path in listed(self.checkpoints))

    def weights(self) -> list[tuple[str, bytes]]:
        """All arrays of the last checkpoint, read with Orbax directly."""
        return arrays(self.checkpoints / str(STEPS))


def write_error(process: Process) -> str:
    """The one-line message of a process that could not write."""
    lines = errors_in(finish(process, 0, 2))
    if process.returncode == 0:
        return "finished before a write failed"
    if len(lines) != 1:
        raise Failure(f"expected one line that reports the failed write, got {lines}")
    return lines[0]


def later_step(training: Training, rng: random.Random) -> int:
    """A random step that is not reached yet."""
    return rng.randint(min(training.step() + 1, STEPS), STEPS)


def kill_anywhere(training: Training, rng: random.Random) -> str:
    step = rng.choice([0, later_step(training, rng)])
    process = training.start()
    if step:
        wait_until(process, lambda: training.step() >= step)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, 0.2 if step else START_S))
    kill(process)
    return f"killed at step {training.step()}"


def kill_save(training: Training, rng: random.Random) -> str:
    step = later_step(training, rng)
    process = training.start()
    wait_until(process, lambda: training.step() >= step)
    wait_until(process, training.saving)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, 0.05))
    kill(process)
    complete = set(Checkpoints(training.run_dir).steps())
    partial = [
        path.name for path in listed(training.checkpoints) if path.is_dir() and step_of(path) not in complete
    ]
    return f"killed at step {training.step()}, {f'{partial[0]} is partial' if partial else 'between saves'}"


def step_of(path: Path) -> int | None:
    return int(path.name) if path.name.isdigit() else None


def send_signal(number: signal.Signals) -> Callable[[Training, random.Random], str]:
    def interrupt(training: Training, rng: random.Random) -> str:
        step = later_step(training, rng)
        process = training.start()
        wait_until(process, lambda: training.step() >= step)
        process.send_signal(number)
        output = finish(process, 130, 0)
        if process.returncode == 0:
            return "finished before the signal"
        (line,) = [line for line in output.splitlines() if "stopped at step" in line]
        stopped = int(line.split("stopped at step ")[1].split()[0])
        if Checkpoints(training.run_dir).steps()[-1] != stopped:
            raise Failure(f"no checkpoint of the step at which it stopped: {line}")
        return line

    return interrupt


def full(training: Training, rng: random.Random) -> str:
    capacity = round(rng.uniform(0.2, 2.8) * training.size)  # there are at most three checkpoints
    training.checkpoints.mkdir(parents=True, exist_ok=True)
    used = disk_usage(training.checkpoints)
    if used:  # there may be two checkpoints already
        capacity = round(used + rng.uniform(0, 0.9) * training.size)
    with on_small_disk(training.checkpoints, capacity) as mounted:
        if mounted:
            return f"tmpfs of {capacity} bytes: {write_error(training.start())}"
    limit = round(rng.uniform(0.1, 0.9) * training.largest)
    line = write_error(training.start(limit_file_size(limit)))
    return f"files of at most {limit} bytes: {line}"


def read_only(training: Training, rng: random.Random) -> str:
    step = later_step(training, rng)
    process = training.start()
    wait_until(process, lambda: bool(listed(training.checkpoints)) and training.step() >= step)
    with make_read_only(training.checkpoints) as how:
        if how is None:
            kill(process)
            return "skipped: this user can write to a read-only folder, and cannot make it immutable"
        return f"{how}: {write_error(process)}"


@contextlib.contextmanager
def make_read_only(folder: Path) -> Iterator[str | None]:
    """Makes a folder read-only. Yields how, or None if that is not possible for this user."""
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
    "kill": kill_anywhere,
    "kill-save": kill_save,
    "term": send_signal(signal.SIGTERM),
    "int": send_signal(signal.SIGINT),
    "usr1": send_signal(signal.SIGUSR1),
    "full": full,
    "read-only": read_only,
}


def check_intact(training: Training) -> None:
    """Checks that no checkpoint is damaged, and that none was quarantined."""
    for step in Checkpoints(training.run_dir).steps():
        corruption = find_corruption(training.checkpoints / str(step))
        if corruption:
            raise Failure(f"checkpoint {step}: {corruption}")
    quarantined = [path.name for path in listed(training.checkpoints) if "damaged" in path.name]
    if quarantined:
        raise Failure(f"quarantined: {quarantined}")


def train_interrupted(training: Training, ways: list[str], rng: random.Random, expected: list) -> list[str]:
    """Interrupts a training in several ways one after another, then runs it to the end.

    Returns:
      What happened in each interruption.

    Raises:
      Failure: a checkpoint is damaged, an error was not reported, or the weights differ from `expected`.
    """
    events = []
    for way in ways:
        events.append(f"{way}: {WAYS[way](training, rng)}")
        check_intact(training)
    finish(training.start(), 0)
    check_intact(training)
    if training.saving():
        raise Failure("the folder of checkpoints contains a partial checkpoint")
    found = training.weights()
    if found != expected:
        differing = [name for (name, a), (_, b) in zip(expected, found, strict=False) if a != b]
        raise Failure(f"{len(differing)} of {len(expected)} arrays differ, the first is {differing[:1]}")
    return events


def train_uninterrupted(run_dir: Path) -> Training:
    """Trains to the end."""
    training = Training(run_dir)
    finish(training.start(), 0)
    last = training.checkpoints / str(STEPS)
    largest = max(path.stat().st_size for path in last.rglob("*") if path.is_file())
    return Training(run_dir, disk_usage(last), largest)


@dataclasses.dataclass(frozen=True)
class TrainingRounds:
    """Rounds of the command train."""

    reference: Training
    expected: list[tuple[str, bytes]]

    def round(self, number: int, ways: list[str], rng: random.Random) -> list[str]:
        """See `commands.Rounds`."""
        training = dataclasses.replace(
            self.reference, run_dir=self.reference.run_dir.with_name(f"round-{number}")
        )
        events = train_interrupted(training, ways, rng, self.expected)
        shutil.rmtree(training.run_dir)
        return events


def training_rounds(folder: Path) -> TrainingRounds:
    reference = train_uninterrupted(folder / "uninterrupted")
    return TrainingRounds(reference, reference.weights())


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", default="train", help="all, or commands, separated by commas")
    parser.add_argument("--rounds", type=int, default=10, help="number of interrupted runs of a command")
    parser.add_argument("--kills", type=int, default=1, help="interruptions per round")
    parser.add_argument("--ways", help="kinds of interruption, separated by commas; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of every random number")
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args(argv)
    known = ["train", *COMMANDS]
    chosen = known if arguments.what == "all" else arguments.what.split(",")
    if "prepare" in chosen and not tfds_set.INSTALLED:
        chosen.remove("prepare")
        print("without prepare: TensorFlow Datasets is not installed")
    ways = {what: list(WAYS if what == "train" else commands.WAYS) for what in known}
    if arguments.ways:
        wanted = arguments.ways.split(",")
        ways = {what: [way for way in wanted if way in ways[what]] for what in known}
    unknown = sorted({*chosen} - {*known}) or [what for what in chosen if not ways[what]]
    if unknown:
        parser.error(f"unknown, or none of these ways: {', '.join(unknown)}; choose from {', '.join(known)}")
    turns = {}
    for i, what in enumerate(chosen):  # they begin with different ways, so that few rounds cover many
        first = i % len(ways[what])
        turns[what] = itertools.cycle([*ways[what][first:], *ways[what][:first]])
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/cache")
        opened: dict[str, Any] = {}
        for i, what in zip(range(1, arguments.rounds + 1), itertools.cycle(chosen), strict=False):
            if what not in opened:
                home = Path(folder) / what
                home.mkdir()
                opened[what] = training_rounds(home) if what == "train" else commands.open_rounds(what, home)
            taken = list(itertools.islice(turns[what], arguments.kills))
            began, rng = time.monotonic(), random.Random(f"{arguments.seed} {i}")
            try:
                events, failure = opened[what].round(i, taken, rng), None
            except Failure as error:
                events, failure = taken, str(error)
            rounds.append({"round": i, "what": what, "ways": taken, "events": events, "failure": failure})
            outcome = "equal" if failure is None else f"FAILED, {failure}"
            seconds = time.monotonic() - began
            print(
                f"round {i}, {what}: {outcome} ({'; '.join(events)}), {seconds:.0f} s".replace(folder, ""),
                flush=True,
            )
    failed = sum(each["failure"] is not None for each in rounds)
    if arguments.json:
        result = {"passed": len(rounds) - failed, "failed": failed, "rounds": rounds}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{len(rounds) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

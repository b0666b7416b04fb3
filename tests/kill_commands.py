"""Interrupted commands other than train, for `python -m tests.kill --what`.

A command runs once without interruption, then in each round from the same inputs in the same folder; it is
interrupted and rerun, then it runs to the end. The folder must then hold the same files with the same
contents, timings aside (`interruption.contents`), and nothing else. The kinds of interruption:

    kill         SIGKILL at any moment
    kill-write   SIGKILL while a file is written: its temporary file is empty, complete, or just renamed
    full         the disk is full: a small tmpfs if that can be mounted, else a limit on file sizes
    two          the same command twice at the same time; one may end with a line that says why
"""

import contextlib
import dataclasses
import itertools
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers import tfds_set
from tests.helpers.interruption import (
    Failure,
    Process,
    check_equal,
    contents,
    disk_usage,
    errors_in,
    finish,
    kill,
    limit_file_size,
    on_small_disk,
)

NETWORKS = ("resnet_small.Generator.ch = 4", "resnet_small.Discriminator.ch = 4")
BINDINGS = tuple(itertools.chain(*(("--gin_bindings", line) for line in (
    "options.batch_size = 8", "options.z_dim = 8", *NETWORKS
))))  # fmt: skip
ENCODER = ("--encoder", "small", "--encoder_width", "4", "--pretrain_steps", "20", "--classify_steps", "20")
LABELS = ("--label_recipe", "digits", *ENCODER, "--gin_config", "small.gin", *BINDINGS)
RERUNS = 5  # until a process that another run left behind has ended


def train_run(work: Path) -> None:
    """A small run with two checkpoints."""
    words = ["train", "--model_dir", str(work / "run"), "--data", "blobs", *BINDINGS]
    words += ["--gin_config", "small.gin", "--gin_config", "no_labels.gin", "--sample_every", "20"]
    for line in ("options.training_steps = 20", "run_config.save_checkpoints_steps = 10"):
        words += ["--gin_bindings", line]
    finish(Process(words), 0)


def run_and_classifier(work: Path) -> None:
    train_run(work)
    words = ["classifier", "--data", "blobs", "--out", str(work / "extractor.npz"), "--width", "4"]
    finish(Process([*words, "--steps", "5"]), 0)


def run_and_export(work: Path) -> None:
    """A run, and an export of an earlier step, which the command replaces."""
    train_run(work)
    finish(Process(["export", str(work / "run"), "--out", str(work / "export"), "--step", "10"]), 0)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command, and the inputs that it finds in its folder."""

    words: Callable[[Path], list[str]]
    inputs: Callable[[Path], None] = lambda work: None


def few_labels(work: Path) -> list[str]:
    words = ["few-labels", "--data", "blobs", "--model_dir", str(work / "study"), "--label_fraction", "0.1"]
    return [*words, "--methods", "s3gan", "--quick", "--steps", "10", *LABELS]


def study(work: Path) -> list[str]:
    words = ["study", "--data", "blobs", "--model_dir", str(work / "study"), "--fractions", "0.1", "0.2"]
    words += ["--seeds", "0", "--methods", "s2gan", "clustering", "no_labels", "--clusters", "4"]
    return [*words, "--quick", "--steps", "5", "--workers", "2", *LABELS]


def evaluate(work: Path) -> list[str]:
    words = ["evaluate", str(work / "run"), "--steps", "all", "--extractor", str(work / "extractor.npz")]
    words += ["--metrics", "fid_score", "kid_score", "--images", "100", "--json", str(work / "scores.json")]
    return [*words, "--num_eval_averaging_runs", "1"]


def neighbours(work: Path) -> list[str]:
    words = ["neighbours", str(work / "run"), "--extractor", str(work / "extractor.npz"), "--images", "4"]
    return [*words, "--out", str(work / "neighbours.png")]


def film(work: Path) -> list[str]:
    return ["film", str(work / "run"), "--out", str(work / "film.webp")]


def frechet(work: Path) -> list[str]:
    words = ["frechet", "blobs", "blobs", "--extractor", str(work / "extractor.npz")]
    return [*words, "--json", str(work / "distance.json")]


def classifier(work: Path) -> list[str]:
    return ["classifier", "--data", "blobs", "--out", str(work / "new.npz"), "--width", "4", "--steps", "40"]


def export(work: Path) -> list[str]:
    return ["export", str(work / "run"), "--out", str(work / "export")]


def prepare(work: Path) -> list[str]:
    return ["prepare", f"tfds:{tfds_set.NAME}", "--tfds_data_dir", str(work / "sets")]


COMMANDS = {
    "few-labels": Command(few_labels),
    "study": Command(study),
    "evaluate": Command(evaluate, run_and_classifier),
    "neighbours": Command(neighbours, run_and_classifier),
    "film": Command(film, train_run),
    "frechet": Command(frechet, run_and_classifier),
    "classifier": Command(classifier),
    "export": Command(export, run_and_export),
    "prepare": Command(prepare),
}


@dataclasses.dataclass(frozen=True)
class Rounds:
    """Rounds of one command.

    `work` is the folder that the command writes into; `inputs` holds a copy of it before the command.
    """

    command: Command
    home: Path
    seconds: float = 0.0  # of the uninterrupted command
    moments: int = 0  # at which it can be killed while it writes a file
    before: int = 0  # bytes of the inputs
    after: int = 0  # bytes of inputs and outputs
    largest: int = 0  # bytes of the largest file
    expected: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.home / "work"

    def start(self, moment: int = 0, prepare: Callable[[], None] | None = None) -> Process:
        words = [str(moment), str(self.work), *self.command.words(self.work)]
        cache = {"XDG_CACHE_HOME": str(self.work / "cache")}
        return Process(words, "tests.helpers.killed", cache, prepare)

    def reset(self) -> None:
        """Puts the folder into the state before the command."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.home / "inputs", self.work)

    def finish(self) -> str:
        """Runs the command to the end. A worker process of a killed run may hold a folder for a while."""
        for _ in range(RERUNS):
            process = self.start()
            output = finish(process, 0, 1, 2)
            if process.returncode == 0:
                return output
            if not all(" in use by " in line or "skipped: " in line for line in errors_in(output)):
                break
            time.sleep(2)
        raise Failure(f"exit code {process.returncode}: {output[-2000:]}")

    def round(self, number: int, ways: list[str], rng: random.Random) -> list[str]:
        """Interrupts the command in several ways one after another, then runs it to the end.

        Returns:
          What happened in each interruption.

        Raises:
          Failure: an error was not reported, or the files differ from those of the uninterrupted command.
        """
        del number
        self.reset()
        events = []
        try:
            for way in ways:
                events.append(f"{way}: {WAYS[way](self, rng)}")
            self.finish()
            check_equal(contents(self.work), self.expected)
        except Failure as error:
            raise Failure(f"{error} ({'; '.join(events)})") from None
        return events


def open_rounds(name: str, home: Path) -> Rounds:
    """Runs a command without interruption."""
    rounds = Rounds(COMMANDS[name], home)
    rounds.work.mkdir()
    rounds.command.inputs(rounds.work)
    shutil.copytree(rounds.work, home / "inputs")
    before, began = disk_usage(rounds.work), time.monotonic()
    rounds.finish()  # compiles
    rounds.reset()
    began = time.monotonic()
    output = rounds.finish()
    seconds = time.monotonic() - began
    (moments,) = [line for line in output.splitlines() if line.startswith("moments: ")]
    return dataclasses.replace(
        rounds,
        seconds=seconds,
        moments=int(moments.split()[1]),
        before=before,
        after=disk_usage(rounds.work),
        largest=max(path.stat().st_size for path in rounds.work.rglob("*") if path.is_file()),
        expected=contents(rounds.work),
    )


def kill_anywhere(rounds: Rounds, rng: random.Random) -> str:
    seconds = rng.uniform(0, rounds.seconds)
    process = rounds.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return "finished before"
    kill(process)
    return f"after {seconds:.1f} of {rounds.seconds:.1f} s"


def kill_write(rounds: Rounds, rng: random.Random) -> str:
    moment = rng.randint(1, rounds.moments)
    finish(rounds.start(moment), 0, -9)
    return f"moment {moment} of {rounds.moments}"


def full(rounds: Rounds, rng: random.Random) -> str:
    used = max(rounds.before, disk_usage(rounds.work))
    capacity = round(used + rng.uniform(0.02, 0.98) * max(rounds.after - used, 1))
    with on_small_disk(rounds.work, capacity) as mounted:
        if mounted:
            return f"tmpfs of {capacity} bytes: {explained(rounds.start())}"
    limit = round(rng.uniform(0.1, 0.9) * rounds.largest)
    return f"files of at most {limit} bytes: {explained(rounds.start(prepare=limit_file_size(limit)))}"


def explained(process: Process) -> str:
    """The lines in which a process says why it failed."""
    output = finish(process, 0, 1, 2)
    lines = errors_in(output)
    if process.returncode == 0:
        return "finished"
    if not lines or process.returncode == 2 and len(lines) != 1:
        raise Failure(f"exit code {process.returncode}, but no line says why: {output[-2000:]}")
    return lines[0]


def two(rounds: Rounds, rng: random.Random) -> str:
    first = rounds.start()
    time.sleep(rng.uniform(0, 0.7 * rounds.seconds))
    second = rounds.start()
    return f"first {explained(first)}, second {explained(second)}"


WAYS: dict[str, Callable[[Rounds, random.Random], str]] = {
    "kill": kill_anywhere,
    "kill-write": kill_write,
    "full": full,
    "two": two,
}

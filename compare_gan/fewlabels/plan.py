"""What a study will do and how long that takes, from a short try of each program."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.files import read_json, read_log
from compare_gan.core.progress import Progress, clock
from compare_gan.core.run_files import CLASSIFY_RUN, METRICS_LOG, PRETRAIN_RUN, SECONDS
from compare_gan.core.tables import Cell, table
from compare_gan.fewlabels.execute import attempt
from compare_gan.fewlabels.study import Study, Task
from compare_gan.fewlabels.tasks import done, run_task, tasks
from compare_gan.train.schedule import TrainSchedule

STEPS, SKIPPED = 40, 20  # of a try; the first ones compile, and are not counted
WORTH_IT = 10 * STEPS  # fewer steps than this are done as soon as they are tried
ENCODER_STEPS = 50


@dataclasses.dataclass(frozen=True)
class Entry:
    """Tasks of one kind, each as long as the others."""

    what: str
    tasks: tuple[Task, ...]
    steps: int
    rate: float | None = None  # steps a second; None: not tried, or no steps
    seconds: float | None = None  # of one task

    @property
    def total(self) -> float:
        return len(self.tasks) * (self.seconds or 0.0)


def outline(study: Study) -> list[Entry]:
    """What is left to do."""
    groups: dict[str, list[Task]] = {}
    for task in (task for stage in tasks(study) for task in stage if not done(study, task)):
        groups.setdefault(task.method.name if task.method else task.kind, []).append(task)
    fits = 1 + study.recipe.calibration_fits
    steps = {
        "features": study.recipe.pretrain_steps,
        "labels": study.recipe.classify_steps * fits if study.recipe.classifier == "s4l" else 0,
        "clusters": 0,
        "gan": study.schedule.steps,
    }
    return [Entry(what, tuple(group), steps[group[0].kind]) for what, group in groups.items()]


def timed(study: Study, entries: Sequence[Entry]) -> list[Entry]:
    """The same with the time each takes, from a try of a few steps in a folder that goes again.

    Where there is too little to do for a try to be worth it, the time stays unknown.
    """
    if sum(len(entry.tasks) * entry.steps for entry in entries) < WORTH_IT * len(entries):
        return list(entries)
    shorter = TrainSchedule(STEPS, study.schedule.log_every, SKIPPED, STEPS)
    recipe = dataclasses.replace(
        study.recipe,
        pretrain_steps=min(ENCODER_STEPS, study.recipe.pretrain_steps),
        classify_steps=min(ENCODER_STEPS, study.recipe.classify_steps),
        calibration_fits=0,
    )
    progress, tried = Progress("trying each program", len(entries), unit="programs"), dict[Any, Entry]()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        trial = dataclasses.replace(study, folder=Path(scratch), schedule=shorter, recipe=recipe, flat=False)
        for number, entry in enumerate(entries, 1):
            program = program_of(study, entry)
            if program not in tried:
                tried[program] = measured(trial, entry)
            found.append(dataclasses.replace(entry, rate=tried[program].rate, seconds=tried[program].seconds))
            progress.update(number, {})
    return found


def program_of(study: Study, entry: Entry) -> Any:
    """Entries of which this is the same run the same programs."""
    method = entry.tasks[0].method
    return (study.gan(method), method.labels == "soft") if method else entry.what


def measured(trial: Study, entry: Entry) -> Entry:
    """An entry with the time of its first task, done by a study of fewer steps."""
    task = entry.tasks[0]
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        outcome = attempt(lambda task: run_task(trial, task), task)
    if outcome.error is not None:  # it is reported when it happens again
        return entry
    folder = trial.task_dir(task)
    runs = {"features": folder / PRETRAIN_RUN, "labels": folder / CLASSIFY_RUN, "gan": folder}
    lines = read_log(runs[task.kind] / METRICS_LOG) if entry.steps else []
    spent = read_json(folder / SECONDS)
    if len(lines) < 2:
        return dataclasses.replace(entry, seconds=sum(spent.values()))
    rate = (lines[-1]["step"] - lines[0]["step"]) / max(lines[-1]["seconds"] - lines[0]["seconds"], 1e-9)
    return dataclasses.replace(entry, rate=rate, seconds=entry.steps / rate + spent.get("evaluate", 0.0))


def text(entries: Sequence[Entry], workers: int) -> str:
    """The plan as a table, with the time for all of it if it is known."""
    rows: list[tuple[Cell, ...]] = [("", "runs", "steps", "steps/s", "time")]
    for entry in entries:
        rate = "" if entry.rate is None else f"{entry.rate:.1f}"
        time = "" if entry.seconds is None else clock(entry.total)
        rows.append((entry.what, len(entry.tasks), entry.steps or "", rate, time))
    total = sum(entry.total for entry in entries)
    runs, steps = sum(len(e.tasks) for e in entries), sum(len(e.tasks) * e.steps for e in entries)
    lines = table([*rows, ("all", runs, steps, "", clock(total) if total else "")])
    if workers > 1 and total:
        lines[-1] += f", by {workers} processes {clock(total / workers)}"
    return "\n".join(lines)

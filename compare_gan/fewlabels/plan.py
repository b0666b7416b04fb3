"""The plan of a study: its remaining tasks, and time estimates from a short trial of each program."""

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
from compare_gan.core.tables import Cell, Table, text
from compare_gan.fewlabels.execute import attempt
from compare_gan.fewlabels.study import Study, Task
from compare_gan.fewlabels.tasks import is_done, run_task, task_stages
from compare_gan.training.schedule import TrainSchedule

TRIAL_STEPS, WARMUP_STEPS = 40, 20  # the warm-up steps include compilation, and are not timed
MIN_STEPS_TO_TIME = 10 * TRIAL_STEPS  # with fewer steps, a trial takes as long as the work itself
ENCODER_TRIAL_STEPS = 50


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of the plan: tasks of one kind, which take equally long."""

    name: str
    tasks: tuple[Task, ...]
    steps: int
    rate: float | None = None  # steps per second; None: not measured, or no steps
    seconds: float | None = None  # per task

    @property
    def total(self) -> float:
        """Seconds of all tasks; 0 if unknown."""
        return len(self.tasks) * (self.seconds or 0.0)


def outline(study: Study) -> list[Entry]:
    """The remaining tasks of a study, grouped by method or kind."""
    groups: dict[str, list[Task]] = {}
    for task in (task for stage in task_stages(study) for task in stage if not is_done(study, task)):
        groups.setdefault(task.method.name if task.method else task.kind, []).append(task)
    fits = 1 + study.recipe.calibration_fits
    steps = {
        "features": study.recipe.pretrain_steps,
        "labels": study.recipe.classify_steps * fits if study.recipe.classifier == "s4l" else 0,
        "clusters": 0,
        "gan": study.schedule.steps,
    }
    return [Entry(name, tuple(group), steps[group[0].kind]) for name, group in groups.items()]


def estimate_times(study: Study, entries: Sequence[Entry]) -> list[Entry]:
    """Adds time estimates, from trials of a few steps in a temporary folder.

    The times stay unknown if there is too little work for trials to be worthwhile.
    """
    if sum(len(entry.tasks) * entry.steps for entry in entries) < MIN_STEPS_TO_TIME * len(entries):
        return list(entries)
    trial_schedule = TrainSchedule(TRIAL_STEPS, study.schedule.log_every, WARMUP_STEPS, TRIAL_STEPS)
    recipe = dataclasses.replace(
        study.recipe,
        pretrain_steps=min(ENCODER_TRIAL_STEPS, study.recipe.pretrain_steps),
        classify_steps=min(ENCODER_TRIAL_STEPS, study.recipe.classify_steps),
        calibration_fits=0,
    )
    progress, measured = Progress("timing programs", len(entries), unit="programs"), dict[Any, Entry]()
    estimates = []
    with tempfile.TemporaryDirectory() as scratch:
        trial = dataclasses.replace(
            study, folder=Path(scratch), schedule=trial_schedule, recipe=recipe, flat=False
        )
        for number, entry in enumerate(entries, 1):
            program = program_of(study, entry)
            if program not in measured:
                measured[program] = run_trial(trial, entry)
            trial_entry = measured[program]
            estimates.append(dataclasses.replace(entry, rate=trial_entry.rate, seconds=trial_entry.seconds))
            progress.update(number, {})
    return estimates


def program_of(study: Study, entry: Entry) -> Any:
    """A key that is equal for entries that run the same compiled programs."""
    method = entry.tasks[0].method
    return (study.gan(method), method.labels == "soft") if method else entry.name


def run_trial(trial: Study, entry: Entry) -> Entry:
    """Times an entry by running its first task in `trial`, the study with fewer steps."""
    task = entry.tasks[0]
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        outcome = attempt(lambda task: run_task(trial, task), task)
    if outcome.error is not None:  # the real run will report it
        return entry
    folder = trial.task_dir(task)
    runs = {"features": folder / PRETRAIN_RUN, "labels": folder / CLASSIFY_RUN, "gan": folder}
    log = read_log(runs[task.kind] / METRICS_LOG) if entry.steps else []
    seconds = read_json(folder / SECONDS)
    if len(log) < 2:
        return dataclasses.replace(entry, seconds=sum(seconds.values()))
    rate = (log[-1]["step"] - log[0]["step"]) / max(log[-1]["seconds"] - log[0]["seconds"], 1e-9)
    return dataclasses.replace(entry, rate=rate, seconds=entry.steps / rate + seconds.get("evaluate", 0.0))


def plan_table(entries: Sequence[Entry], workers: int) -> str:
    """The plan as a table, with the total time if it is known."""
    rows: list[tuple[Cell, ...]] = [("", "runs", "steps", "steps/s", "time")]
    for entry in entries:
        rate = "" if entry.rate is None else f"{entry.rate:.1f}"
        time = "" if entry.seconds is None else clock(entry.total)
        rows.append((entry.name, len(entry.tasks), entry.steps or "", rate, time))
    total = sum(entry.total for entry in entries)
    runs, steps = sum(len(e.tasks) for e in entries), sum(len(e.tasks) * e.steps for e in entries)
    table = text([Table([*rows, ("all", runs, steps, "", clock(total) if total else "")])])
    return f"{table}, {clock(total / workers)} with {workers} processes" if workers > 1 and total else table

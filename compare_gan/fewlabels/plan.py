"""The plan of a study: its labels, its remaining tasks, and time estimates from a trial of each program."""

import contextlib
import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from compare_gan.core import records
from compare_gan.core.files import read_json, read_log
from compare_gan.core.progress import Progress, clock
from compare_gan.core.run_files import CLASSIFY_RUN, METRICS_LOG, PRETRAIN_RUN, SECONDS
from compare_gan.core.tables import Cell, Table, text
from compare_gan.fewlabels.budget import choose, describe_budget
from compare_gan.fewlabels.execute import attempt
from compare_gan.fewlabels.overview import overview
from compare_gan.fewlabels.study import Study, Task
from compare_gan.fewlabels.tasks import is_done, run_task, task_stages
from compare_gan.training.schedule import TrainSchedule

# Steps of a trial. The first half includes compilation, and is not timed. On a CPU, steps on images of 32
# pixels a side or more take seconds.
TRIAL_STEPS, SHORT_TRIAL_STEPS = 40, 10
SCORING_SHARE = 20  # a trial scores with this fraction of the images
# With less work for each program, trials take as long as the work itself. A pixel-step is a training step for
# each pixel of an image: a trial is mostly compilation, and steps on small images take no time.
MIN_STEPS_TO_TIME = 10 * TRIAL_STEPS
MIN_PIXEL_STEPS_TO_TIME = 2_000_000
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


def describe_labels(study: Study, budget_given: bool) -> list[str]:
    """Lines about the data of a study and the number of labels of each budget.

    Args:
      study: the study.
      budget_given: whether the user chose the label budgets.
    """
    data = overview(study.dataset)
    lines = data.lines()
    if not any(method.from_few for method in study.methods):
        return lines
    labels, known = study.dataset.train.labels, dict[int, str]()
    inferring = any(method.needs_inference for method in study.methods)
    if inferring and study.label_file is not None:
        lines.append(f"labels: {study.label_file} is used unchanged, no label is inferred")
        inferring = False
        if not any(method.labels in ("few", "few_only") for method in study.methods):
            return lines
    for budget in study.budgets:
        used = len(choose(labels, budget, study.label_seeds[0]))
        which = f"all {used:,}" if used == data.labelled else f"{used:,} of {data.labelled:,}"
        default = not (budget_given or data.partly_labelled)
        share = f" ({describe_budget(budget)}{'; the default if every image has a label' if default else ''})"
        why = share if used < data.labelled else ""
        what = f" to infer one for each of the {data.train_images:,} training images" if inferring else ""
        lines.append(f"labels: {which} {'is' if used == 1 else 'are'} used{why}{what}")
        if used in known:
            lines.append(f"caution: these are the same {used:,} labels as with {known[used]}")
        known.setdefault(used, describe_budget(budget))
    return lines + (data.measured(data.labelled - max(known)) if inferring else [])


def outline(study: Study) -> list[Entry]:
    """The remaining tasks of a study, grouped by method or kind."""
    groups: dict[str, list[Task]] = {}
    for task in (task for stage in task_stages(study) for task in stage if not is_done(study, task)):
        groups.setdefault(task.method.name if task.method else task.kind, []).append(task)
    fits = 1 + study.recipe.calibration_fits
    steps = {
        "features": study.recipe.pretrain_steps,
        "labels": study.recipe.classify_steps * fits if study.recipe.fine_tunes else 0,
        "clusters": 0,
        "gan": study.schedule.steps,
    }
    return [Entry(name, tuple(group), steps[group[0].kind]) for name, group in groups.items()]


def estimate_times(study: Study, entries: Sequence[Entry]) -> list[Entry]:
    """Adds time estimates, from trials of a few steps in a temporary folder.

    The times stay unknown if there is too little work for trials to be worthwhile.
    """
    steps = sum(len(entry.tasks) * entry.steps for entry in entries) / max(1, len(entries))
    h, w, _ = study.dataset.spec.image_shape
    if steps < MIN_STEPS_TO_TIME or steps * h * w < MIN_PIXEL_STEPS_TO_TIME:
        return list(entries)
    slow = jax.default_backend() == "cpu" and h * w >= 32 * 32
    trial_steps = SHORT_TRIAL_STEPS if slow else TRIAL_STEPS
    trial_schedule = TrainSchedule(trial_steps, trial_steps // 2, trial_steps // 2, trial_steps)
    recipe = dataclasses.replace(
        study.recipe,
        pretrain_steps=min(ENCODER_TRIAL_STEPS, study.recipe.pretrain_steps),
        classify_steps=min(ENCODER_TRIAL_STEPS, study.recipe.classify_steps),
        calibration_fits=0,
    )
    progress, measured = Progress("timing programs", len(entries), unit="programs"), dict[Any, Entry]()
    estimates = []
    with tempfile.TemporaryDirectory() as scratch:
        scoring = dataclasses.replace(
            study.evaluation,
            images=max(2, study.evaluation.images // SCORING_SHARE),
            statistics_examples=study.evaluation.statistics_examples // SCORING_SHARE,
            cache=Path(scratch) / "real",
        )
        trial = dataclasses.replace(
            study,
            folder=Path(scratch),
            schedule=trial_schedule,
            recipe=recipe,
            evaluation=scoring,
            flat=False,
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
    """Times an entry by running its first task in `trial`, the study with fewer steps.

    GANs are scored twice: the second time, programs are compiled and features of real images known.
    """
    task = entry.tasks[0]
    folder, totals = trial.task_dir(task), [0.0]
    with silence():
        for _ in range(2 if task.kind == "gan" else 1):
            if attempt(lambda task: run_task(trial, task), task).error is not None:
                return entry  # the real run will report it
            totals.append(read_json(folder / SECONDS, records.SECONDS).get("evaluate", 0.0))
    scoring = (totals[-1] - totals[-2]) * SCORING_SHARE
    runs = {"features": folder / PRETRAIN_RUN, "labels": folder / CLASSIFY_RUN, "gan": folder}
    log = read_log(runs[task.kind] / METRICS_LOG) if entry.steps else []
    seconds = read_json(folder / SECONDS, records.SECONDS)
    if len(log) < 2:
        return dataclasses.replace(entry, seconds=sum(seconds.values()))
    rate = (log[-1]["step"] - log[0]["step"]) / max(log[-1]["seconds"] - log[0]["seconds"], 1e-9)
    return dataclasses.replace(entry, rate=rate, seconds=entry.steps / rate + scoring)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drops what is printed, and warnings: the real run will repeat them."""
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
            yield
    finally:
        logging.disable(logging.NOTSET)


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

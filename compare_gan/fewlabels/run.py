"""Doing a study: every task that is not done yet, in an order in which each finds what it needs."""

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compare_gan.core.files import run_folder
from compare_gan.core.pictures import write_grid
from compare_gan.core.progress import clock
from compare_gan.core.run_files import REAL_GRID
from compare_gan.data.base import ImageDataset
from compare_gan.fewlabels.execute import Call, Outcome, ProcessExecutor, SerialExecutor
from compare_gan.fewlabels.study import Study
from compare_gan.fewlabels.tasks import done, needed_tasks, run_task, tasks


def run_study(study: Study, workers: int = 1, reopen: Callable[[], Study] | None = None) -> list[Outcome]:
    """Does what of a study is not done yet.

    Args:
      study: what to do.
      workers: processes that do it; 1: this one.
      reopen: opens the study again in each of several processes; picklable.

    Returns:
      The outcomes of tasks that failed, those included that lack what a failed one was to make.

    Raises:
      UserError: the folder cannot be written to.
      Interrupted: Ctrl-C or SIGTERM; what was computed is kept.
    """
    stages = [[task for task in stage if not done(study, task)] for stage in tasks(study)]
    total = sum(map(len, stages))
    if not total:
        return []
    run_folder(study.folder)
    show_real(study.dataset, study.folder)
    failed, finished = list[Outcome](), 0
    with contextlib.closing(open_pool(study, workers, reopen)) as pool:
        for stage in stages:
            lost = {outcome.task for outcome in failed}
            lacking = [task for task in stage if lost & needed_tasks(study, task)]
            failed += [Outcome(task, error="what it needs was not made") for task in lacking]
            finished += len(lacking)
            began, before = time.monotonic(), finished
            for outcome in pool.each([task for task in stage if task not in lacking]):
                finished += 1
                failed += [outcome] if outcome.error is not None else []
                pace = (time.monotonic() - began) / (finished - before)
                left = clock(pace * (before + len(stage) - len(lacking) - finished))
                line = f"{outcome.task.name}: {format_outcome(outcome)}"
                print(f"[{finished}/{total}] {line}; {left} left", flush=True)
    return failed


def open_pool(
    study: Study, workers: int, reopen: Callable[[], Study] | None
) -> SerialExecutor | ProcessExecutor:
    if workers == 1 or reopen is None:
        return SerialExecutor(functools.partial(run_task, study))
    return ProcessExecutor(workers, functools.partial(open_runner, reopen))


def open_runner(reopen: Callable[[], Study]) -> Call:
    """`run_task` for another process, which opens the study once."""
    return functools.partial(run_task, reopen())


def format_outcome(outcome: Outcome) -> str:
    """The outcome of a task in a few words, such as "done"."""
    if outcome.error is not None:
        return f"failed ({outcome.error})"
    if not outcome.value:
        return "done"
    return f"distance {outcome.value['frechet_distance']:.3f} in {outcome.value['seconds']:.0f} s"


def show_real(dataset: ImageDataset, folder: Path, columns: int = 10) -> None:
    """A picture of held-out images: one row a class, or mixed where none has a label."""
    labels = dataset.test.labels
    classes = [np.flatnonzero(labels == k) for k in range(min(len(dataset.class_names), 10))]
    rows = [np.resize(members, columns) for members in classes if len(members)]
    if not rows:
        rows = [np.linspace(0, len(labels) - 1, 3 * columns).astype(int)[i::3] for i in range(3)]
    images = dataset.test.images[np.concatenate(rows)]
    write_grid(folder / REAL_GRID, images, len(rows), columns)

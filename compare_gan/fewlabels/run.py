"""Running a study: its settings, then every unfinished task, in dependency order."""

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compare_gan.core import records
from compare_gan.core.files import read_json, run_folder, write_json
from compare_gan.core.lock import NAME as IN_USE
from compare_gan.core.lock import claimed
from compare_gan.core.pictures import write_grid
from compare_gan.core.progress import clock
from compare_gan.core.run_files import REAL_GRID, SETTINGS
from compare_gan.data.base import ImageDataset, example_rows
from compare_gan.fewlabels.dask_cluster import Cluster, DaskExecutor
from compare_gan.fewlabels.execute import Call, Executor, Outcome, ProcessExecutor, SerialExecutor
from compare_gan.fewlabels.settings import command_line, merge_settings
from compare_gan.fewlabels.study import Study, Task
from compare_gan.fewlabels.tasks import dependencies, is_done, read_result, run_task, task_stages


def set_up(study: Study) -> None:
    """Writes the settings of a study to its folder, and a grid of real images.

    Raises:
      UserError: the folder cannot be written.
    """
    settings_file = run_folder(study.folder) / SETTINGS
    known = read_json(settings_file, records.SETTINGS) if settings_file.exists() else study.settings
    settings = merge_settings(known, study.settings)
    settings |= {"command": command_line("few-labels" if study.flat else "study", settings)}
    write_json(settings_file, settings)
    write_real_grid(study.dataset, study.folder)


def run_study(
    study: Study,
    workers: int = 1,
    reopen: Callable[[], Study] | None = None,
    say: Callable[[str], None] = print,
    cluster: Cluster | None = None,
) -> list[Outcome]:
    """Runs the unfinished tasks of a study, and says a line about each.

    Args:
      study: the study.
      workers: the number of processes; 1: this process.
      reopen: opens the study in a worker process; must be picklable.
      say: called with a line about each task.
      cluster: does the tasks, in place of processes of this machine.

    Returns:
      The outcomes of failed tasks, including tasks that were skipped because a task they depend on failed.

    Raises:
      UserError: the folder cannot be written, or the cluster cannot be used.
      Interrupted: Ctrl-C or SIGTERM; finished work is kept.
    """
    stages = [[task for task in stage if not is_done(study, task)] for stage in task_stages(study)]
    total = sum(map(len, stages))
    if not total:
        return []
    run_folder(study.folder)
    failed, finished = list[Outcome](), 0
    with contextlib.closing(open_executor(study, workers, reopen, say, cluster)) as executor:
        for stage in stages:
            failed_tasks = {outcome.task for outcome in failed}
            blocked = [task for task in stage if failed_tasks & dependencies(study, task)]
            failed += [Outcome(task, error="skipped: a task that it depends on failed") for task in blocked]
            finished += len(blocked)
            began, before = time.monotonic(), finished
            for outcome in executor.outcomes([task for task in stage if task not in blocked]):
                finished += 1
                failed += [outcome] if outcome.error is not None else []
                seconds_per_task = (time.monotonic() - began) / (finished - before)
                left = clock(seconds_per_task * (before + len(stage) - len(blocked) - finished))
                line = f"{outcome.task.name}: {format_outcome(outcome)}"
                say(f"[{finished}/{total}] {line}; {left} left")
    return failed


def open_executor(
    study: Study,
    workers: int,
    reopen: Callable[[], Study] | None,
    say: Callable[[str], None],
    cluster: Cluster | None,
) -> Executor:
    """An executor that runs tasks in this process, in several, or on a cluster."""
    if reopen is not None and cluster is not None:
        return DaskExecutor(cluster, study.folder, functools.partial(open_runner, reopen), say)
    if reopen is not None and workers > 1:
        return ProcessExecutor(workers, functools.partial(open_runner, reopen))
    return SerialExecutor(functools.partial(perform, study))


def open_runner(reopen: Callable[[], Study]) -> Call:
    """`perform` on a reopened study, for a worker process."""
    return functools.partial(perform, reopen())


def perform(study: Study, task: Task) -> dict[str, Any]:
    """Runs or resumes a task, unless it is finished. Only one process of all machines does a task at a time.

    Returns:
      The result of `run_task`.

    Raises:
      InUse: another process does it.
      UserError, Interrupted: see `run_task`.
    """
    with claimed(run_folder(study.task_dir(task)), f"{task.kind}-{IN_USE}"):
        return read_result(study, task) if is_done(study, task) else run_task(study, task)


def format_outcome(outcome: Outcome) -> str:
    """An outcome as text, such as "done" or "failed (...)"."""
    if outcome.error is not None:
        return f"failed ({outcome.error})"
    if not outcome.value:
        return "done"
    return f"distance {outcome.value['frechet_distance']:.3f} in {outcome.value['seconds']:.0f} s"


def write_real_grid(dataset: ImageDataset, folder: Path, columns: int = 10) -> None:
    """Writes a grid of held-out images: one row per class, or mixed rows if none has a label."""
    chosen = example_rows(dataset.test.labels, min(len(dataset.class_names), 10), columns, mixed_rows=3)
    write_grid(folder / REAL_GRID, dataset.test.images[chosen.ravel()], *chosen.shape)

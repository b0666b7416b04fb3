"""A study as an array of jobs, for clusters with a scheduler of their own. Each job does one task."""

import functools
import itertools
from collections.abc import Callable, Sequence

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.lock import claimed
from compare_gan.fewlabels.execute import Outcome, attempt
from compare_gan.fewlabels.run import format_outcome, perform, set_up
from compare_gan.fewlabels.settings import EXTENDABLE, read_settings
from compare_gan.fewlabels.study import Study, Task
from compare_gan.fewlabels.tasks import dependencies, is_done, task_stages

STAGES = "features", "labels", "GANs"  # of `task_stages`
Say = Callable[[str], None]


def list_tasks(study: Study, say: Say = print) -> None:
    """Sets up the study folder, and says the tasks with their numbers, and those to do of each stage.

    The numbers are those of `run_one`. They depend on the request only, not on what is done.

    Raises:
      UserError: the folder cannot be written, or another process runs a study in it.
    """
    with claimed(run_folder(study.folder)):
        set_up(study)
    say("number  stage     task")
    left = list[str]()
    for stage, tasks in zip(STAGES, numbered_stages(study), strict=True):
        done = {number for number, task in tasks.items() if is_done(study, task)}
        for number, task in tasks.items():
            say(f"{number:<8}{stage:<10}{task.name}{' (done)' if number in done else ''}")
        if ranges := as_ranges([number for number in tasks if number not in done]):
            left.append(f"{stage}: --array={ranges}")
    say("\n".join(left) if left else f"{study.folder}: all done already")


def run_one(study: Study, number: int, say: Say = print) -> Outcome:
    """Runs or resumes the task with a number of `list_tasks`, and says its outcome. A finished task stays.

    Raises:
      UserError: there is no such task, `list_tasks` has not set up the folder, a task whose result it needs
        is not done, or another process does it.
      Interrupted: Ctrl-C or SIGTERM; progress is saved.
    """
    numbers = {n: task for tasks in numbered_stages(study) for n, task in tasks.items()}
    if number not in numbers:
        raise UserError(f"--task {number}: the tasks have the numbers 1 to {len(numbers)}; see --array")
    known = read_settings(study.folder)
    if not known or any(set(study.settings[name]) - set(known.get(name, ())) for name in EXTENDABLE):
        raise UserError(
            f"{study.folder}: is not set up for these tasks; give --array in place of --task once"
        )
    task = numbers[number]
    if not is_done(study, task):
        needed = dependencies(study, task)
        for n, other in numbers.items():
            if other in needed and not is_done(study, other):
                raise UserError(
                    f"--task {number}: {task.name} needs --task {n}, {other.name}, which is not done"
                )
    outcome = attempt(functools.partial(perform, study), task)
    if outcome.again:
        raise UserError(f"--task {number}: {outcome.error}")
    say(f"{task.name}: {format_outcome(outcome)}")
    return outcome


def numbered_stages(study: Study) -> list[dict[int, Task]]:
    """The tasks of each of `STAGES` by their numbers, from 1."""
    numbers = itertools.count(1)
    return [{next(numbers): task for task in stage} for stage in task_stages(study)]


def as_ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in the syntax of `sbatch --array`, such as "1-3,7"."""
    text = list[str]()
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in group]
        text.append(f"{members[0]}-{members[-1]}" if len(members) > 1 else str(members[0]))
    return ",".join(text)

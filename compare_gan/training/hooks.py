"""Hooks: callables that the training loop calls in a fixed order after every step.

A hook gets the step, the state and the metrics, and may return an action. The strongest action wins; after
ROLL_BACK no later hook is called for this step.
"""

import enum
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax

from compare_gan.core.processes import broadcast_from_main
from compare_gan.core.progress import Progress
from compare_gan.core.run_files import METRICS_LOG, PROFILE
from compare_gan.core.types import Array
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.writers import MetricsLog, SampleWriter

Score = Callable[[Any, int], float | None]  # maps state and step to a score; lower is better


class Action(enum.IntEnum):
    """The loop's next action, from the weakest to the strongest.

    >>> def stop_early(step, state, metrics):
    ...     return cg.Action.STOP if metrics and metrics["loss/d"] < 0.1 else None
    >>> stop_early(10, None, {"loss/d": 0.05}).name
    'STOP'
    """

    CONTINUE = 0
    SAVE = 1  # write a checkpoint
    STOP = 2  # write a checkpoint and end the training; the same call resumes it
    ROLL_BACK = 3  # return to the newest checkpoint and continue with a new random seed


class Hook(Protocol):
    """Observes training after each step, and may return an action.

    With several processes, all call their hooks at the same steps, and all must return the same action.

    >>> seen = []
    >>> def remember(step, state, metrics):
    ...     seen.append(step)
    >>> hook: cg.Hook = remember
    """

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> Action | None:
        """Called before the first step (with step 0) and after each step.

        Args:
          step: number of steps taken. It decreases after a rollback.
          state: the state after these steps. It is donated to the next step: copy arrays to keep them.
          metrics: means since the last report and their "step", which may be the previous step; None if
            there is no report.

        Returns:
          An action; None means CONTINUE.
        """
        ...


def call_hooks(hooks: Sequence[Hook], step: int, state: Any, metrics: dict[str, float] | None) -> Action:
    """Calls the hooks in order and returns the strongest action."""
    action = Action.CONTINUE
    for hook in hooks:
        action = max(action, hook(step, state, metrics) or Action.CONTINUE)
        if action is Action.ROLL_BACK:
            break
    return action


class MetricsHook:
    """Writes `metrics.jsonl` and the progress line.

    Args:
      run_dir: gets the file.
      schedule: of the training.
      name: of the training, for the progress line.
      shown: names of the metrics in the progress line.
    """

    def __init__(self, run_dir: Path, schedule: TrainSchedule, name: str, shown: Sequence[str]):
        self.path, self.schedule, self.name, self.shown = run_dir / METRICS_LOG, schedule, name, shown
        self.began, self.step = time.monotonic(), 0
        self.log: MetricsLog | None = None
        self.progress: Progress | None = None
        self.numbers: dict[str, float] = {}

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> None:
        if self.log is None or step <= self.step:  # training starts, resumes, or was rolled back
            self.log = MetricsLog(self.path, step - 1)
        if self.progress is None:
            self.progress = Progress(self.name, self.schedule.steps, max(step - 1, 0))
        self.step = step
        if metrics is not None:
            row = dict(metrics)
            self.log.append(int(row.pop("step")), time.monotonic() - self.began, row)
            self.numbers = {name: row[name] for name in self.shown}
        if step:
            self.progress.update(step, self.numbers)


class SampleHook:
    """Draws samples before the first step, every `sample_every` steps and after the last.

    The devices draw those of step 0 while the host compiles the first step, so they are written after it. A
    run that is killed before that starts again with step 0.
    """

    def __init__(self, writer: SampleWriter, schedule: TrainSchedule):
        self.writer, self.schedule = writer, schedule
        self.std: float | None = None  # `sample_std` of this step's samples; None if there are none
        self.initial: dict[str, Array] | None = None  # images of step 0 that are not yet written

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> None:
        if self.initial is not None:
            self.writer.write(self.initial, 0)
        self.initial = self.writer.draw(state, step) if step == 0 else None
        drawn = self.schedule.due(self.schedule.sample_every, step)
        self.std = self.writer.write(self.writer.draw(state, step), step) if drawn else None


class BestCheckpointHook:
    """Scores every `score_every` steps and after the last; keeps the checkpoint with the smallest score.

    Args:
      score: maps state and step to a score, or None if there is none.
      checkpoints: those of the run.
      schedule: of the training.
    """

    def __init__(self, score: Score, checkpoints: Checkpoints, schedule: TrainSchedule):
        self.score, self.checkpoints, self.schedule = score, checkpoints, schedule

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> None:
        if not self.schedule.due(self.schedule.score_every, step):
            return
        value, best = self.score(state, step), self.checkpoints.best()
        better = value is not None and (best is None or value < best[1])
        if value is not None and broadcast_from_main(better):
            self.checkpoints.save(step, state)
            self.checkpoints.mark_best(step, value)


class SaveHook:
    """Requests a checkpoint every `save_every` steps and after the last; reports failed writes early."""

    def __init__(self, schedule: TrainSchedule, checkpoints: Checkpoints):
        self.schedule, self.checkpoints = schedule, checkpoints

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> Action | None:
        self.checkpoints.poll()
        return Action.SAVE if self.schedule.due(self.schedule.save_every, step) else None


class ProfileHook:
    """Traces steps with `jax.profiler` into `profile/` of the run folder.

    The first steps of a session include compilation, so tracing starts a few steps later.

    Args:
      run_dir: the run folder.
      steps: number of steps to trace.
      schedule: of the training.
    """

    WARM_UP = 3

    def __init__(self, run_dir: Path, steps: int, schedule: TrainSchedule):
        self.folder, self.steps, self.schedule = run_dir / PROFILE, steps, schedule
        self.first: int | None = None  # step after which tracing starts
        self.tracing = False

    def __call__(self, step: int, state: Any, metrics: dict[str, float] | None) -> None:
        if self.first is None:
            self.first = min(max(step - 1, 0) + self.WARM_UP, self.schedule.steps - 1)
        if step == self.first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self.folder)
            self.tracing = True
        elif self.tracing and step >= min(self.first + self.steps, self.schedule.steps):
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
            self.tracing = False
            print(f"traced {step - self.first} steps: {self.folder} (open with xprof or TensorBoard)")

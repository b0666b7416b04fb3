"""The loop: get some batches, take as many steps in one call, now and then write something down.

The position in the data is a function of seed and step, and so is every random number; the
state is all that a checkpoint needs, and a job that was stopped goes on to the same bits.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.interrupt import Interrupted, stop_requested
from compare_gan.core.lock import NAME as IN_USE
from compare_gan.core.lock import claimed
from compare_gan.core.placement import Placement
from compare_gan.core.processes import every, first, of_first, some
from compare_gan.core.progress import Progress
from compare_gan.core.types import Array, Batch, Metrics
from compare_gan.data.base import Split
from compare_gan.train.checkpoints import Checkpoints
from compare_gan.train.feed import Feed, open_feed
from compare_gan.train.watch import INCIDENTS, ROLLED_BACK, Diverged, Watcher
from compare_gan.train.writers import MetricsLog

RUNS_ONCE = {"xla_backend_optimization_level": 0}  # compiling takes longer than running
Draw = Callable[[Any, int], float | None]  # of a state and its step
Score = Callable[[Any, int], float | None]
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long to train, and every how many steps what is written.

    Raises:
      UserError: a number below 1.
    """

    steps: int
    log_every: int = 50
    sample_every: int = 500
    save_every: int = 1000
    keep_checkpoints: int | None = 2  # the newest ones; None keeps all
    score_every: int | None = None  # None: not scored while it trains

    def __post_init__(self):
        for field in ("steps", "log_every", "sample_every", "save_every", "score_every"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise UserError(f"{field} is {value}; it must be at least 1")

    def next_stop(self, step: int) -> int:
        """The next step at which something is to be done. It depends on the step alone."""
        every = (self.log_every, self.sample_every, self.save_every, self.score_every or self.steps)
        return min(self.steps, *(step // n * n + n for n in every))


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained. A state is a pytree with a field `step`."""

    name: str
    init: Callable[[Array], Any]  # key -> state
    step: Callable[[Any, Batch, Array, Callable], tuple[Any, Metrics]]  # state, batch, key, spread
    batch_size: int
    sub_batches: int = 1  # batches that one step uses, on the leading axis of what it gets
    shown: tuple[str, ...] = ()  # the numbers worth a place in the progress line
    labelled_rows: tuple[int, ...] = ()  # rows of each batch that are drawn from the labelled images only
    programs: dict[Any, Callable] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def program(self, *key: Any, make: Callable[[], Callable]) -> Callable:
        """A compiled function, made the first time. A job that is done often keeps it from run to run."""
        if key not in self.programs:
            self.programs[key] = make()
        return self.programs[key]


def run(
    job: Job,
    split: Split,
    *,
    run_dir: Path,
    schedule: Schedule,
    seed: int,
    placement: Placement | None = None,
    draw: Draw = lambda state, step: None,
    workers: int = 0,
    watcher: Watcher | None = None,
    score: Score | None = None,
    begin: Callable[[Any], Any] = lambda state: state,
) -> Any:
    """Does a job from its beginning, or from where an earlier call stopped.

    Args:
      job: what to train.
      split: training images with the labels it may see.
      run_dir: gets checkpoints and metrics.jsonl.
      schedule: for how long.
      seed: of the initial weights, the order of the data and all that is drawn at random.
      placement: the devices; all of them unless given.
      draw: called with state and step every `sample_every` steps, at the first and at the last; may return
        the spread of what it drew.
      workers: processes that read images which are not in memory; 0: threads.
      watcher: looks at what is reported and drawn.
      score: called with state and step every `score_every` steps and at the last; returns a number. The
        checkpoint of the smallest is kept.
      begin: from the initial state to the one that training begins with.

    Returns:
      The state after the last step.

    Raises:
      UserError: the run folder is in use, it or a checkpoint cannot be written, or the batch size does not
        fit.
      Interrupted: Ctrl-C or SIGTERM; the state is saved.
      Diverged: the watcher was told to stop when training goes wrong, and it did.
    """
    run_folder(run_dir)
    placement = placement or Placement.over()
    with (
        claimed_by_first(run_dir),
        contextlib.closing(
            open_feed(
                split,
                batch_size=job.batch_size,
                sub_batches=job.sub_batches,
                seed=seed,
                placement=placement,
                length=schedule.log_every,
                total=schedule.steps,
                workers=workers,
                labelled_rows=job.labelled_rows,
            )
        ) as feed,
        contextlib.closing(Checkpoints(run_dir, schedule.keep_checkpoints)) as checkpoints,
    ):
        schedule = dataclasses.replace(schedule, log_every=feed.length)
        return _advance(
            job, feed, checkpoints, run_dir, schedule, seed, placement, draw, watcher, score, begin
        )


@contextlib.contextmanager
def claimed_by_first(run_dir: Path) -> Iterator[None]:
    """Holds the run folder for all processes.

    Raises:
      UserError: it is in use, or not one folder for all of them.
    """
    with contextlib.ExitStack() as held:
        mistake = None
        if first():
            try:
                held.enter_context(claimed(run_dir))
            except UserError as error:
                mistake = error
        if some(mistake is not None):
            raise mistake or UserError(f"{run_dir}: in use, says the first process")
        if not every((run_dir / IN_USE).exists()):
            raise UserError(f"{run_dir}: not all processes see it; --model_dir must be a folder they share")
        yield


def _advance(
    job: Job,
    feed: Feed,
    checkpoints: Checkpoints,
    run_dir: Path,
    schedule: Schedule,
    seed: int,
    placement: Placement,
    draw: Draw,
    watcher: Watcher | None,
    score: Score | None,
    begin: Callable[[Any], Any],
) -> Any:
    """The loop itself, from the newest checkpoint to the last step."""
    init_rng, root = jax.random.split(jax.random.key(seed))
    init = job.program("init", placement, make=lambda: compile_init(job, placement))
    state = begin(init(init_rng))
    state = checkpoints.restore(state) or state
    start = step = int(state.step)
    if step >= schedule.steps:
        return state
    if step:
        print(f"{job.name}: resuming from step {step}", flush=True)
    else:
        draw(state, 0)
    chunk = job.program("chunk", placement, feed.pick, make=lambda: compile_chunk(job, placement, feed.pick))
    thrown = 0 if watcher is None else watcher.rollbacks()
    metrics_log = MetricsLog(run_dir / "metrics.jsonl", step)
    progress = Progress(job.name, schedule.steps, step)
    began = time.monotonic()
    with stop_requested() as stopping:
        while step < schedule.steps:
            stop = schedule.next_stop(step)
            try:
                given = feed.chunk(step, stop)
            except UserError:  # an image that cannot be read must not cost what was computed
                if jax.process_count() == 1:  # others wait elsewhere
                    checkpoints.save(step, state)
                raise
            count = np.int32(stop - step)
            dice = jax.random.fold_in(root, thrown) if thrown else root
            state, metrics = chunk(state, feed.held, given, count, jax.random.key_data(dice))
            step = stop
            reported = {name: float(value) for name, value in metrics.items()}
            metrics_log.append(step, time.monotonic() - began, reported)
            progress.update(step, {name: reported[name] for name in job.shown})
            last, asked = step >= schedule.steps, some(stopping())
            trouble = None if watcher is None else watcher.reported(reported)
            if step % schedule.sample_every == 0 or last:
                spread = draw(state, step)
                if watcher is not None and trouble is None and spread is not None:
                    trouble = watcher.drawn(spread)
            if watcher is not None and trouble is not None:
                action = watcher.watch.action(trouble)
                good = max(checkpoints.steps(), default=0)
                if action == "rollback" and thrown < watcher.watch.most_rollbacks:
                    watcher.note(step, trouble, f"{ROLLED_BACK} to step {good}")
                    watcher.forget()
                    thrown += 1
                    state = init(init_rng)
                    state = checkpoints.restore(state) or state
                    step = int(state.step)
                    metrics_log = MetricsLog(run_dir / "metrics.jsonl", step)
                    began = time.monotonic()
                    continue
                watcher.note(step, trouble, "noted" if action == "note" else "stopped")
                told = f"{run_dir}: {trouble.what} at step {step}"
                if action != "note":
                    raise Diverged(
                        f"{told}; stopped, the last good checkpoint is that of step {good}; see {INCIDENTS}"
                    )
                log.warning("%s; going on, see %s", told, INCIDENTS)
            if score and schedule.score_every and (step % schedule.score_every == 0 or last):
                value, best = score(state, step), checkpoints.best()
                better = value is not None and (best is None or value < best[1])
                if value is not None and of_first(better):
                    checkpoints.save(step, state)
                    checkpoints.is_best(step, value)
            if step % schedule.save_every == 0 or last or asked:
                checkpoints.save(step, state)
            checkpoints.look()
            if asked and not last:
                checkpoints.wait()
                raise Interrupted(
                    f"{job.name}: stopped at step {step} of {schedule.steps}, saved in {run_dir}"
                )
        checkpoints.wait()
    log.info("%s: steps %d to %d in %.1f s", job.name, start, step, time.monotonic() - began)
    return state


def compile_init(job: Job, placement: Placement) -> Callable[[Array], Any]:
    """A compiled `job.init`."""
    return jax.jit(job.init, out_shardings=layout(job, placement), compiler_options=RUNS_ONCE)


def layout(job: Job, placement: Placement) -> Any:
    """How the state of a job lies."""
    if placement.fsdp == 1:
        return placement.everywhere
    return placement.layout(jax.eval_shape(job.init, jax.eval_shape(lambda: jax.random.key(0))))


def compile_chunk(
    job: Job, placement: Placement, pick: Callable[[Any, Any], Batch]
) -> Callable[..., tuple[Any, Metrics]]:
    """A compiled function of (state, held, given, count, key data) that takes the first `count` steps.

    `pick` makes the batch of a step from what the feed holds and what it has given for this step.

    The count is an argument, not a shape: one program serves every count, so a job takes the
    same steps bit for bit wherever it is stopped. Metrics are means over the steps taken.
    """

    lies, everywhere = layout(job, placement), placement.everywhere

    def run(state: Any, held: Any, given: Any, count: Array, key_data: Array) -> tuple[Any, Metrics]:
        with jax.sharding.use_abstract_mesh(placement.mesh.abstract_mesh):
            return advance(state, held, given, count, jax.random.wrap_key_data(key_data))

    def advance(state: Any, held: Any, given: Any, count: Array, root: Array) -> tuple[Any, Metrics]:
        def step(state, i):
            batch = pick(held, jax.tree.map(lambda x: x[i], given))
            return job.step(state, batch, jax.random.fold_in(root, state.step), placement.spread)

        def body(i, carry):
            state, sums = carry
            state, metrics = step(state, i)
            state = jax.lax.with_sharding_constraint(state, lies)
            return state, jax.tree.map(jnp.add, sums, metrics)

        _, shapes = jax.eval_shape(step, state, 0)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        state, sums = jax.lax.fori_loop(0, count, body, (state, zeros))
        return state, jax.tree.map(lambda s: s / count, sums)

    return jax.jit(
        run,
        donate_argnums=0,
        in_shardings=(lies, everywhere, placement.chunk, everywhere, everywhere),
        out_shardings=(lies, everywhere),
    )

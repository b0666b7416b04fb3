"""The training loop: a compiled step, then the hooks.

The position in the data and every random number are functions of seed and step, and a checkpoint holds the
complete state, so an interrupted run resumes bit-exactly.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.interrupt import Interrupted, stop_requested
from compare_gan.core.lock import NAME as IN_USE
from compare_gan.core.lock import claimed
from compare_gan.core.placement import Placement
from compare_gan.core.processes import all_processes, any_process, is_main_process
from compare_gan.core.progress import bars_removed
from compare_gan.core.types import Array, Batch, Metrics
from compare_gan.data.base import Split
from compare_gan.nn.convolution import on_cpu
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.divergence import count_rollbacks, note_rollback
from compare_gan.training.feed import open_feed
from compare_gan.training.hooks import Action, Hook, MetricsHook, SaveHook, call_hooks
from compare_gan.training.reports import Reports
from compare_gan.training.schedule import TrainSchedule

COMPILE_FAST = {"xla_backend_optimization_level": 0}  # for programs that take longer to compile than to run


@dataclasses.dataclass(frozen=True)
class Job:
    """A model and its training step. A state is a pytree with a field `step`.

    Equal jobs share compiled programs.
    """

    name: str = dataclasses.field(compare=False)
    init: Callable[[Array], Any]  # key -> state
    step: Callable[[Any, Batch, Array, Callable], tuple[Any, Metrics]]  # state, batch [S, B, ...], key, shard
    batch_size: int
    sub_batches: int = 1  # S, batches per step
    shown: tuple[str, ...] = ()  # metrics in the progress line
    labelled_rows: tuple[int, ...] = ()  # rows of each batch that are drawn from the labelled images only
    balanced: bool = False  # whether these rows draw each class equally often


def run(
    job: Job,
    split: Split,
    *,
    run_dir: Path,
    schedule: TrainSchedule,
    seed: int,
    placement: Placement | None = None,
    workers: int = 0,
    checkpoints: Checkpoints | None = None,
    hooks: Sequence[Hook] = (),
    begin: Callable[[Any], Any] = lambda state: state,
    resume: Callable[[Any], Any] = lambda state: state,
) -> Any:
    """Trains from step 0, or from the newest checkpoint in the run folder.

    Hooks are called after every step, in this order: metrics and progress, `hooks`, saving. A new run also
    calls them before the first step, with step 0.

    Args:
      job: the job to train.
      split: training images with the labels it may see.
      run_dir: gets checkpoints and metrics.jsonl.
      schedule: how long to train, and when to log and save.
      seed: of the initial weights, the order of the data and every random number.
      placement: the devices; all of them by default.
      workers: processes that read images which are not in memory; 0: threads.
      checkpoints: those of `run_dir`, if a hook shares them.
      hooks: called with step, state and metrics; see `compare_gan.training.hooks`.
      begin: applied to the initial state of a new run, to load pretrained weights for example.
      resume: applied to the state of a checkpoint from which training continues.

    Returns:
      The state after the last step, or after the step at which a hook stopped training.

    Raises:
      UserError: the run folder is in use, it or a checkpoint cannot be written, or the batch cannot be
        sharded evenly.
      Interrupted: Ctrl-C or SIGTERM; the state is saved.
    """
    run_folder(run_dir)
    placement = placement or Placement.create()
    checkpoints = checkpoints or Checkpoints(run_dir, schedule.keep_checkpoints)
    hooks = [MetricsHook(run_dir, schedule, job.name, job.shown), *hooks, SaveHook(schedule, checkpoints)]
    with (
        bars_removed(),
        claimed_by_main_process(run_dir),
        contextlib.closing(
            open_feed(split, job, steps=schedule.steps, seed=seed, placement=placement, workers=workers)
        ) as feed,
        contextlib.closing(checkpoints),
        stop_requested() as stopping,
    ):
        init_rng, root = jax.random.split(jax.random.key(seed))
        init, train_step = compile_init(job, placement), compile_step(job, placement, feed.select)

        def start(rollbacks: int) -> tuple[Any, int, Array, Reports]:
            state = init(init_rng)
            restored = checkpoints.restore(state)
            state = begin(state) if restored is None else resume(restored)
            step = 0 if restored is None else int(state.step)  # a new state may still be computed
            # Steps that are repeated after a rollback use other random numbers.
            rng = jax.random.fold_in(root, rollbacks) if rollbacks else root
            return state, step, placement.replicate(jax.random.key_data(rng)), Reports(schedule, step)

        rollbacks = count_rollbacks(run_dir)
        state, step, rng, reports = start(rollbacks)
        if step >= schedule.steps:
            checkpoints.remove_old()  # a killed process may have saved the last step, but not removed them
            return state
        if step == 0:
            call_hooks(hooks, 0, state, None)
        else:
            print(f"{job.name}: resuming from step {step}", flush=True)
        action = Action.CONTINUE
        while step < schedule.steps and action is not Action.STOP:
            with saved_if_unreadable(checkpoints, step, state):
                batch = feed.batch(step)
            state, metrics = train_step(state, feed.data, batch, rng)
            step += 1
            interrupted = stop_agreed(stopping, schedule.reports(step))
            action = call_hooks(hooks, step, state, reports.update(step, metrics, now=interrupted))
            if action is Action.ROLL_BACK:
                rollbacks += 1
                note_rollback(run_dir, step, max(checkpoints.steps(), default=0), rollbacks)
                state, step, rng, reports = start(rollbacks)
                continue
            if interrupted:
                action = Action.STOP
            if action in (Action.SAVE, Action.STOP):
                checkpoints.save(step, state)
        checkpoints.wait()
        if interrupted and step < schedule.steps:
            raise Interrupted(f"{job.name}: stopped at step {step} of {schedule.steps}, saved in {run_dir}")
    return state


def state_sharding(job: Job, placement: Placement) -> Any:
    """The sharding of each array of the state."""
    if placement.fsdp == 1:
        return placement.replicated
    return placement.layout(jax.eval_shape(job.init, jax.eval_shape(lambda: jax.random.key(0))))


@functools.lru_cache(maxsize=64)
def compile_init(job: Job, placement: Placement) -> Callable[[Array], Any]:
    """Compiles `job.init`, a function of a key."""
    return jax.jit(job.init, out_shardings=state_sharding(job, placement), compiler_options=COMPILE_FAST)


@functools.lru_cache(maxsize=64)
def compile_step(
    job: Job, placement: Placement, select: Callable[[Any, Any], Batch]
) -> Callable[[Any, Any, Any, Array], tuple[Any, Metrics]]:
    """Compiles a training step, a function of state, data, batch and key data.

    The step number is folded into the key. The state is donated.

    Args:
      job: the job to train.
      placement: the devices.
      select: maps data and batch of a feed to images and labels [S, B, ...]; see
        `compare_gan.training.feed.Feed`.
    """

    def step(state: Any, data: Any, batch: Any, key_data: Array) -> tuple[Any, Metrics]:
        rng = jax.random.fold_in(jax.random.wrap_key_data(key_data), state.step)
        with jax.sharding.use_abstract_mesh(placement.mesh.abstract_mesh), on_cpu(placement.on_cpu):
            return job.step(state, select(data, batch), rng, placement.shard_batch)

    state, replicated = state_sharding(job, placement), placement.replicated
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(state, replicated, placement.sub_batches, replicated),
        out_shardings=(state, replicated),
    )


def stop_agreed(stopping: Callable[[], bool], together: bool) -> bool:
    """Whether to stop after this step.

    Several processes agree on it, by a collective at the steps at which `together` is true.
    """
    if jax.process_count() == 1:
        return stopping()
    return together and any_process(stopping())


@contextlib.contextmanager
def saved_if_unreadable(checkpoints: Checkpoints, step: int, state: Any) -> Iterator[None]:
    """Saves the state if reading a batch fails, before the error ends training."""
    try:
        yield
    except UserError:
        if jax.process_count() == 1:  # saving is collective, and the other processes did not fail
            checkpoints.save(step, state)
        raise


@contextlib.contextmanager
def claimed_by_main_process(run_dir: Path) -> Iterator[None]:
    """Locks the run folder, on behalf of all processes.

    Raises:
      UserError: it is in use, or the processes do not share it.
    """
    with contextlib.ExitStack() as stack:
        failure = None
        if is_main_process():
            try:
                stack.enter_context(claimed(run_dir))
            except UserError as error:
                failure = error
        if any_process(failure is not None):
            raise failure or UserError(f"{run_dir}: in use, as the main process reports")
        if not all_processes((run_dir / IN_USE).exists()):
            raise UserError(f"{run_dir}: not all processes see it; --model_dir must be a folder they share")
        yield

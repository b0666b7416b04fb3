"""Training a GAN on a data set into a run folder."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.placement import Placement
from compare_gan.core.processes import is_main_process
from compare_gan.core.run_files import DONE
from compare_gan.core.types import Array, Batch, GANState, Metrics
from compare_gan.data.base import Split
from compare_gan.data.order import spread_rows
from compare_gan.gans.gan import GAN
from compare_gan.gans.standing import without_statistics
from compare_gan.gans.step import ShardFn, train_step
from compare_gan.nn import kernels
from compare_gan.nn.images import random_flip as flipped
from compare_gan.penalties.gradient import BATCH_STATISTICS, is_gradient_penalty
from compare_gan.training.checkpoints import Checkpoints, saved_steps
from compare_gan.training.divergence import DivergenceHook, DivergenceMonitor, DivergencePolicy
from compare_gan.training.hooks import BestCheckpointHook, Hook, SampleHook, Score
from compare_gan.training.loop import Job, run
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.tensorboard import TensorBoardHook, learning_rates, real_grid
from compare_gan.training.warm_start import WarmStart
from compare_gan.training.writers import SampleWriter, sample_std

log = logging.getLogger(__name__)
FLIPS = 2**31  # folded into a step's key to get the key of the flips
STD_IMAGES = 500  # real images for the reference standard deviation


def train(
    gan: GAN,
    split: Split,
    *,
    run_dir: Path,
    schedule: TrainSchedule,
    seed: int = 0,
    placement: Placement | None = None,
    random_flip: bool = False,
    workers: int = 0,
    divergence: DivergencePolicy = DivergencePolicy(),
    score: Score | None = None,
    tensorboard: bool = True,
    hooks: Sequence[Hook] = (),
    warm_start: WarmStart | None = None,
) -> GANState:
    """Trains a GAN, or resumes where an earlier call stopped; see `compare_gan.training.loop.run`.

    Besides checkpoints and metrics the run folder gets `samples/`, `interpolations/` and, at the
    end, the file `TRAIN_DONE`. Hooks are called in this order: metrics and progress, samples, TensorBoard,
    divergence, best checkpoint, `hooks`, saving.

    Args:
      gan: the GAN to train.
      split: training images with the labels it may see.
      run_dir: the run folder.
      schedule: how long to train, and when to log, sample, score and save.
      seed: of every random number.
      placement: the devices; all of them by default.
      random_flip: mirror real images left to right with probability 1/2.
      workers: processes that read images which are not in memory; 0: threads.
      divergence: what to do when training goes wrong.
      score: called every `schedule.score_every` steps; the checkpoint with the smallest score is kept.
      tensorboard: write metrics, samples and real images to a TensorBoard event file in the run folder.
      hooks: see `compare_gan.training.hooks`.
      warm_start: the weights of a run without checkpoints; None: initial ones.

    Raises:
      UserError: the run folder is in use or not writable, or the batch size or the labels are invalid.
      Interrupted: Ctrl-C or SIGTERM; the state is saved.
      Diverged: an incident to which the response is to stop.
    """
    if gan.conditional:
        check_labels(split.labels, gan.spec.num_classes)
    placement = placement or Placement.create()
    if gan.layers.precision.compute == "bfloat16" and placement.on_cpu and not kernels.supports(jnp.bfloat16):
        log.warning(
            "precision.compute is bfloat16, which is slower than float32 here: it needs a processor with "
            "avx512_bf16 and the package compare_gan_cpu"
        )
    if gan.penalty_weight and is_gradient_penalty(gan.penalty) and gan.d_has_batch_statistics:
        log.warning(BATCH_STATISTICS)
    gan = gan.with_replicas(placement.mesh.size)
    job = dataclasses.replace(job_of(gan, random_flip), name=run_dir.name)
    checkpoints = Checkpoints(run_folder(run_dir), schedule.keep_checkpoints)
    samples = SampleHook(SampleWriter(gan, run_dir, seed, placement), schedule)
    monitor = DivergenceMonitor(divergence, gan.loss, real_std(split))
    own: list[Hook] = [samples]
    if tensorboard:
        rates = learning_rates(gan, schedule.steps)
        own.append(TensorBoardHook(run_dir, samples, rates, real_grid(split, gan.y_dim)))
    own.append(DivergenceHook(monitor, run_dir, checkpoints, samples))
    if score is not None:
        own.append(BestCheckpointHook(score, checkpoints, schedule))
    if is_main_process() and max(saved_steps(run_dir), default=0) < schedule.steps:
        (run_dir / DONE).unlink(missing_ok=True)  # the run is extended by more steps

    def begin(state: GANState) -> GANState:
        return state if warm_start is None else warm_start.begin(gan, state, checkpoints, placement)

    state = run(
        job,
        split,
        run_dir=run_dir,
        schedule=schedule,
        seed=seed,
        placement=placement,
        workers=workers,
        checkpoints=checkpoints,
        hooks=[*own, *hooks],
        begin=begin,
        resume=without_statistics,
    )
    if is_main_process():
        (run_dir / DONE).touch()
    return state


def real_std(split: Split) -> float:
    """`sample_std` of real images; 0, which disables the check, if one of them cannot be read."""
    try:
        return sample_std(split.images[:STD_IMAGES] / np.float32(255))
    except UserError:  # reported when training reads that image
        return 0.0


def flipping_step(
    gan: GAN, state: GANState, batch: Batch, rng: Array, shard: ShardFn
) -> tuple[GANState, Metrics]:
    """`train_step` on real images that are mirrored with probability 1/2."""
    images = flipped(jax.random.fold_in(rng, FLIPS), batch.images)
    return train_step(gan, state, batch._replace(images=images), rng, shard)


@functools.lru_cache(maxsize=32)
def job_of(gan: GAN, random_flip: bool) -> Job:
    """The training job of a GAN; cached, so that equal GANs share compiled programs."""
    step = functools.partial(flipping_step if random_flip else train_step, gan)
    rows = spread_rows(gan.labelled_count, gan.batch_size)
    return Job("gan", gan.init, step, gan.batch_size, gan.sub_batches, ("loss/d", "loss/g"), rows)


def check_labels(labels: np.ndarray, num_classes: int) -> None:
    """Checks that labels are class indices in [-1, num_classes) or have one column for each class.

    Raises:
      UserError: they do not.
    """
    if labels.ndim == 2 and labels.shape[1] != num_classes:
        raise UserError(f"soft labels have {labels.shape[1]} columns for {num_classes} classes")
    if labels.ndim == 1 and len(labels) and not -1 <= labels.min() <= labels.max() < num_classes:
        raise UserError(f"labels must be in -1..{num_classes - 1}; found {labels.min()} to {labels.max()}")

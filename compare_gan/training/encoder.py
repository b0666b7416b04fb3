"""Training an encoder with an objective; `compare_gan.training.objectives` has those of label inference."""

import abc
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

from compare_gan.core.errors import UserError
from compare_gan.core.origin import claim
from compare_gan.core.types import Array, Batch, Metrics, NetState, Tree
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.encoder import Encoder, EncoderOut, EncoderSpec, TrainedEncoder
from compare_gan.features.resnet import LAYERS
from compare_gan.nn.options import Precision
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import digest, merge_module, net_state
from compare_gan.training.augment import Augmentation
from compare_gan.training.loop import Job, run
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.strong import RandAugment


@dataclasses.dataclass(frozen=True)
class EncoderTraining:
    """AdamW with cosine decay of the learning rate to zero, on augmented images.

    Raises:
      UserError: a value out of range.
    """

    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    average_decay: float = 0.0  # of the moving average of the weights, which is the result; 0: none
    augmentation: Augmentation = Augmentation()
    strong: RandAugment = RandAugment()  # of objectives that need it, after `augmentation`

    def __post_init__(self):
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}; it must be at least 1")
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing is {self.label_smoothing}; it must be in [0, 1)")
        if not 0 <= self.average_decay < 1:
            raise UserError(f"average_decay is {self.average_decay}; it must be in [0, 1)")


class Learner(nnx.Module):
    """The encoder, and the module of its own that an objective may have."""

    def __init__(self, spec: EncoderSpec, objective: "Objective", precision: str, rngs: nnx.Rngs):
        self.encoder = Encoder(spec, rngs, dataclasses.replace(LAYERS, precision=Precision(precision)))
        self.head = objective.make_head(spec, rngs)


@struct.dataclass
class EncoderState:
    """The training state of an encoder."""

    step: Array
    net: NetState  # of a `Learner`
    opt: optax.OptState
    average: NetState | None  # moving average of `net`; None without `EncoderTraining.average_decay`

    @property
    def trained(self) -> NetState:
        """The encoder alone: of the moving average, if there is one."""
        net = self.net if self.average is None else self.average
        return NetState(net.params["encoder"], net.extra["encoder"])


@dataclasses.dataclass(frozen=True)
class Objective(abc.ABC):
    """A training objective of an encoder. Subclasses are frozen dataclasses.

    Equal objectives share compiled programs.
    """

    shown: ClassVar[tuple[str, ...]] = ("loss", "accuracy")  # metrics in the progress line
    training: EncoderTraining

    def make_head(self, spec: EncoderSpec, rngs: nnx.Rngs) -> nnx.Module | None:
        """A module that is trained with the encoder and then discarded: layers, or running statistics."""
        del spec, rngs
        return None

    @abc.abstractmethod
    def __call__(
        self, encoder: Callable[[Array], EncoderOut], head: Any, images: Array, labels: Array, rng: Array
    ) -> tuple[Array, Metrics]:
        """The loss, and metrics that include those of `shown`.

        Args:
          encoder: maps images [B, H, W, C] to the encoder's outputs.
          head: the result of `make_head`.
          images: [B, H, W, C] in [0, 1].
          labels: class indices [B], -1 = unlabelled.
          rng: key of the augmentation.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ByClass(Objective):
    """Classification; every image needs a label."""

    def __call__(self, encoder, head, images, labels, rng) -> tuple[Array, Metrics]:
        del head
        logits = encoder(self.training.augmentation(rng, images)).classes
        loss, accuracy = cross_entropy(logits, labels, self.training.label_smoothing)
        return loss, {"loss": loss, "accuracy": accuracy}


def cross_entropy(logits: Array, targets: Array, smoothing: float = 0.0) -> tuple[Array, Array]:
    """Mean softmax cross entropy, and accuracy."""
    smoothed = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, smoothed).mean(), jnp.mean(logits.argmax(-1) == targets)


def train_encoder(
    name: str,
    spec: EncoderSpec,
    split: Split,
    objective: Objective,
    *,
    training: EncoderTraining,
    run_dir: Path,
    schedule: TrainSchedule,
    seed: int,
    start: NetState | None = None,
    labelled: int = 0,
    balanced: bool = False,
    precision: str = "float32",
) -> TrainedEncoder:
    """Trains an encoder with an objective, from random weights or from `start`.

    It can be interrupted and resumed like every job, see `compare_gan.training.loop.run`. The run folder
    gets a provenance record (`compare_gan.core.origin`).

    Args:
      name: of the job, for the progress line.
      spec: the encoder.
      split: training images with the labels it may see.
      objective: the training objective.
      training: optimiser and augmentation.
      run_dir: gets checkpoints and metrics.jsonl.
      schedule: the number of steps, and when to log and save.
      seed: of every random number.
      start: initial weights; None for random ones.
      labelled: labelled images at the start of each batch, in addition to `training.batch_size` images drawn
        from all.
      balanced: whether these images are drawn from each class equally often.
      precision: of the convolutions in training, see `nn.options.Precision`; the result computes in float32.

    Raises:
      UserError: the run folder holds a run with other images, labels, settings or seed.
    """
    claim(
        run_dir,
        {
            "images": fingerprint(split.images),
            "labels": fingerprint(split.labels),
            "encoder": dataclasses.asdict(spec),
            "objective": {"name": type(objective).__name__, **dataclasses.asdict(objective)},  # type: ignore[call-overload]
            "steps": schedule.steps,
            "seed": seed,
            "start": None if start is None else digest(start),
            "balanced": balanced,
            "precision": precision,
        },
    )
    job = dataclasses.replace(
        _job(spec, objective, training, schedule.steps, labelled, balanced, precision), name=name
    )

    def begin(state: EncoderState) -> EncoderState:
        if start is None:
            return state
        net = _with_encoder(state.net, start)
        return dataclasses.replace(
            state, net=net, average=None if state.average is None else jax.tree.map(jnp.copy, net)
        )

    state = run(job, split, run_dir=run_dir, schedule=schedule, seed=seed, begin=begin)
    return TrainedEncoder(spec, jax.device_get(state.trained), name)


def _with_encoder(net: NetState, start: NetState) -> NetState:
    """The state `net` of a `Learner` with the weights `start` of its encoder."""

    def place(old: Tree, new: Tree) -> Tree:
        return jax.tree.map(lambda a, b: jax.device_put(b, a.sharding), old, new)

    return NetState(
        {**net.params, "encoder": place(net.params["encoder"], start.params)},
        {**net.extra, "encoder": place(net.extra["encoder"], start.extra)},
    )


def moved(average: Tree, new: Tree, decay: float, step: Array) -> Tree:
    """The moving average of weights after a step. It moves faster in the first steps, so that it forgets the
    initial weights."""
    now = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, b: now * a + (1 - now) * b, average, new)


@functools.lru_cache(maxsize=8)
def _job(
    spec: EncoderSpec,
    objective: Objective,
    training: EncoderTraining,
    steps: int,
    labelled: int,
    balanced: bool = False,
    precision: str = "float32",
) -> Job:
    """The training job; cached, so that equal arguments share compiled programs."""
    definition = nnx.graphdef(nnx.eval_shape(lambda: Learner(spec, objective, precision, random_streams(0))))
    rate = optax.cosine_decay_schedule(training.learning_rate, steps)
    tx = optax.adamw(rate, weight_decay=training.weight_decay)
    decay = training.average_decay

    def init(rng: Array) -> EncoderState:
        net = net_state(Learner(spec, objective, precision, random_streams(rng)))
        return EncoderState(jnp.zeros((), jnp.int32), net, tx.init(net.params), net if decay else None)

    def step(state: EncoderState, batch: Batch, rng: Array, shard: Callable) -> tuple[EncoderState, Metrics]:
        del shard  # the random inputs are small
        images = batch.images[0].astype(jnp.float32) / 255

        def loss_fn(params):
            learner = merge_module(definition, params, state.net.extra)

            def encode(x: Array) -> EncoderOut:
                return learner.encoder(x, train=True)

            loss, metrics = objective(encode, learner.head, images, batch.labels[0], rng)
            return loss, (net_state(learner).extra, metrics)

        gradients, (extra, metrics) = jax.grad(loss_fn, has_aux=True)(state.net.params)
        updates, opt = tx.update(gradients, state.opt, state.net.params)
        net = NetState(optax.apply_updates(state.net.params, updates), extra)
        average = moved(state.average, net, decay, state.step) if decay else None
        return EncoderState(state.step + 1, net, opt, average), metrics

    size, rows = labelled + training.batch_size, tuple(range(labelled))
    return Job("encoder", init, step, size, shown=objective.shown, labelled_rows=rows, balanced=balanced)


def train_classifier(
    dataset: ImageDataset,
    width: int,
    steps: int,
    seed: int,
    run_dir: Path,
    body: str = "small",
    precision: str = "float32",
) -> TrainedEncoder:
    """Trains a classifier on all labels of a data set, as a feature extractor for scores, not for GANs.

    Raises:
      UserError: a training image has no label.
    """
    if (dataset.train.labels == UNLABELLED).any():
        raise UserError(f"{dataset.name}: a classifier for scores needs a label on every training image")
    training = EncoderTraining(batch_size=128)
    spec = EncoderSpec(dataset.spec.image_shape, dataset.class_names, width, body)
    return train_encoder(
        "classifier",
        spec,
        dataset.train,
        ByClass(training),
        training=training,
        run_dir=run_dir,
        schedule=TrainSchedule(steps),
        seed=seed,
        precision=precision,
    )

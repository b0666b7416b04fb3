"""Training an encoder: by rotation prediction, classification, or both (S4L)."""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

from compare_gan.core.errors import UserError
from compare_gan.core.origin import claim
from compare_gan.core.types import Array, Batch, Metrics, NetState
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.encoder import Encoder, EncoderOut, EncoderSpec, TrainedEncoder
from compare_gan.nn.images import TURNS, quarter_turns
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import digest, merge_module, net_state
from compare_gan.training.augment import Augmentation
from compare_gan.training.loop import Job, run
from compare_gan.training.schedule import TrainSchedule


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
    augmentation: Augmentation = Augmentation()

    def __post_init__(self):
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}; it must be at least 1")
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing is {self.label_smoothing}; it must be in [0, 1)")


@struct.dataclass
class EncoderState:
    """The training state of an encoder."""

    step: Array
    net: NetState
    opt: optax.OptState


class Objective(Hashable, Protocol):
    """A training objective of an encoder. Equal objectives share compiled programs."""

    def __call__(
        self, encoder: Callable[[Array], EncoderOut], images: Array, labels: Array, rng: Array
    ) -> tuple[Array, Metrics]:
        """The loss, and metrics that include `loss` and `accuracy`.

        Args:
          encoder: maps images [B, H, W, C] to the encoder's outputs.
          images: [B, H, W, C] in [0, 1].
          labels: class indices [B], -1 = unlabelled.
          rng: key of the augmentation.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ByRotation:
    """Rotation prediction: Gidaris et al., https://arxiv.org/abs/1803.07728.

    Every image is shown in all four rotations. Labels are ignored.
    """

    training: EncoderTraining

    def __call__(self, encoder, images, labels, rng) -> tuple[Array, Metrics]:
        del labels
        views = quarter_turns(self.training.augmentation(rng, images))
        loss, accuracy = cross_entropy(encoder(views).turns, jnp.repeat(jnp.arange(TURNS), len(images)))
        return loss, {"loss": loss, "accuracy": accuracy}


@dataclasses.dataclass(frozen=True)
class ByClass:
    """Classification; every image needs a label."""

    training: EncoderTraining

    def __call__(self, encoder, images, labels, rng) -> tuple[Array, Metrics]:
        logits = encoder(self.training.augmentation(rng, images)).classes
        loss, accuracy = cross_entropy(logits, labels, self.training.label_smoothing)
        return loss, {"loss": loss, "accuracy": accuracy}


@dataclasses.dataclass(frozen=True)
class S4L:
    """Classification of labelled images plus rotation prediction: Zhai et al., https://arxiv.org/abs/1905.03670.

    The first `labelled` images of a batch are labelled; the labels of the others are ignored. With
    `pseudo_weight` the others are also trained on pseudo-labels: the class that the network predicts, with at
    least `pseudo_confidence`, for a weakly augmented copy. Sohn et al., https://arxiv.org/abs/2001.07685.
    """

    training: EncoderTraining
    labelled: int
    rotation_weight: float = 1.0
    class_rotations: bool = False  # also classify rotated copies of the labelled images
    pseudo_weight: float = 0.0
    pseudo_confidence: float = 0.95

    def __call__(self, encoder, images, labels, rng) -> tuple[Array, Metrics]:
        strong_rng, weak_rng = jax.random.split(rng)
        augmented = self.training.augmentation(strong_rng, images)
        labelled, others = augmented[: self.labelled], augmented[self.labelled :]
        turns = TURNS if self.class_rotations else 1
        num_classified = turns * self.labelled
        views = quarter_turns(others) if self.rotation_weight else others
        out = encoder(jnp.concatenate([quarter_turns(labelled, tuple(range(turns))), views]))

        targets = jnp.tile(labels[: self.labelled], turns)
        smoothing = self.training.label_smoothing
        loss, accuracy = cross_entropy(out.classes[:num_classified], targets, smoothing)
        metrics = {"loss/class": loss, "accuracy": accuracy}
        if self.rotation_weight:
            rotations = jnp.repeat(jnp.arange(TURNS), len(others))
            logits = out.turns[num_classified:]
            if self.class_rotations:  # the labelled images are shown in all four rotations, too
                rotations = jnp.concatenate([jnp.repeat(jnp.arange(TURNS), self.labelled), rotations])
                logits = out.turns
            rotation_loss, metrics["accuracy/rotation"] = cross_entropy(logits, rotations)
            loss += self.rotation_weight * rotation_loss
        if self.pseudo_weight:
            weak = dataclasses.replace(self.training.augmentation, color=0.0, cutout=0)
            weak_logits = encoder(weak(weak_rng, images[self.labelled :])).classes
            p = jax.nn.softmax(jax.lax.stop_gradient(weak_logits))
            confident = p.max(-1) >= self.pseudo_confidence
            upright = out.classes[num_classified : num_classified + len(others)]
            losses = optax.softmax_cross_entropy_with_integer_labels(upright, p.argmax(-1))
            loss += self.pseudo_weight * jnp.mean(confident * losses)
            metrics["pseudo/share"] = confident.mean()
        return loss, metrics | {"loss": loss}


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
        },
    )
    job = dataclasses.replace(_job(spec, objective, training, schedule.steps, labelled), name=name)

    def begin(state: EncoderState) -> EncoderState:
        if start is None:
            return state
        placed = jax.tree.map(lambda old, new: jax.device_put(new, old.sharding), state.net, start)
        return dataclasses.replace(state, net=placed)

    state = run(job, split, run_dir=run_dir, schedule=schedule, seed=seed, begin=begin)
    return TrainedEncoder(spec, jax.device_get(state.net), name)


@functools.lru_cache(maxsize=8)
def _job(
    spec: EncoderSpec, objective: Objective, training: EncoderTraining, steps: int, labelled: int
) -> Job:
    """The training job; cached, so that equal arguments share compiled programs."""
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder(spec, random_streams(0))))
    rate = optax.cosine_decay_schedule(training.learning_rate, steps)
    tx = optax.adamw(rate, weight_decay=training.weight_decay)

    def init(rng: Array) -> EncoderState:
        net = net_state(Encoder(spec, random_streams(rng)))
        return EncoderState(jnp.zeros((), jnp.int32), net, tx.init(net.params))

    def step(state: EncoderState, batch: Batch, rng: Array, shard: Callable) -> tuple[EncoderState, Metrics]:
        del shard  # the random inputs are small
        images = batch.images[0].astype(jnp.float32) / 255

        def loss_fn(params):
            encoder = merge_module(definition, params, state.net.extra)
            loss, metrics = objective(lambda x: encoder(x, train=True), images, batch.labels[0], rng)
            return loss, (net_state(encoder).extra, metrics)

        gradients, (extra, metrics) = jax.grad(loss_fn, has_aux=True)(state.net.params)
        updates, opt = tx.update(gradients, state.opt, state.net.params)
        net = NetState(optax.apply_updates(state.net.params, updates), extra)
        return EncoderState(state.step + 1, net, opt), metrics

    size, rows = labelled + training.batch_size, tuple(range(labelled))
    return Job("encoder", init, step, size, shown=("loss", "accuracy"), labelled_rows=rows)


def train_classifier(
    dataset: ImageDataset, width: int, steps: int, seed: int, run_dir: Path, body: str = "small"
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
    )

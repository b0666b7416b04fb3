"""Training an encoder: by rotations without labels, by classes, or by both."""

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
from compare_gan.nn.state import digest, merge_module, net_state
from compare_gan.train.augment import Augmentation
from compare_gan.train.loop import Job, run
from compare_gan.train.schedule import TrainSchedule


@dataclasses.dataclass(frozen=True)
class EncoderTraining:
    """AdamW with a rate that falls to zero along a cosine, on images changed at random.

    Raises:
      UserError: a number that makes no sense.
    """

    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0  # share of a class label that is spread over all classes
    augmentation: Augmentation = Augmentation()

    def __post_init__(self):
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}; it must be at least 1")
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing is {self.label_smoothing}; it is a share, in [0, 1)")


@struct.dataclass
class EncoderState:
    """All that training an encoder changes."""

    step: Array
    net: NetState
    opt: optax.OptState


class Objective(Hashable, Protocol):
    """What an encoder learns. Equal ones share compiled programs."""

    def __call__(
        self, encoder: Callable[[Array], EncoderOut], images: Array, labels: Array, rng: Array
    ) -> tuple[Array, Metrics]:
        """Loss, and numbers to report, among them `loss` and `accuracy`.

        Args:
          encoder: images [B, H, W, C] -> what it says of them.
          images: [B, H, W, C] in [0, 1].
          labels: [B].
          rng: a key.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ByRotation:
    """Tell by how many quarter turns an image was rotated: Gidaris et al., https://arxiv.org/abs/1803.07728.

    Every image is shown in all four. The labels are not looked at.
    """

    training: EncoderTraining

    def __call__(self, encoder, images, labels, rng) -> tuple[Array, Metrics]:
        del labels
        views = quarter_turns(self.training.augmentation(rng, images))
        loss, accuracy = cross_entropy(encoder(views).turns, jnp.repeat(jnp.arange(TURNS), len(images)))
        return loss, {"loss": loss, "accuracy": accuracy}


@dataclasses.dataclass(frozen=True)
class ByClass:
    """Tell the class of an image; every image needs a label."""

    training: EncoderTraining

    def __call__(self, encoder, images, labels, rng) -> tuple[Array, Metrics]:
        logits = encoder(self.training.augmentation(rng, images)).classes
        loss, accuracy = cross_entropy(logits, labels, self.training.label_smoothing)
        return loss, {"loss": loss, "accuracy": accuracy}


@dataclasses.dataclass(frozen=True)
class S4L:
    """Classes of a few labelled images, and rotations of all: Zhai et al., https://arxiv.org/abs/1905.03670.

    A batch begins with `labelled` images whose labels count; those of the others are not looked at. With
    a `pseudo_weight` the others also learn the class that the network sees, with confidence, in a mildly
    changed copy of theirs: Sohn et al., https://arxiv.org/abs/2001.07685.
    """

    training: EncoderTraining
    labelled: int
    rotation_weight: float = 1.0
    class_rotations: bool = False  # classes are asked of all four turns, not of upright images only
    pseudo_weight: float = 0.0
    pseudo_confidence: float = 0.95

    def __call__(self, encoder, images, labels, rng) -> tuple[Array, Metrics]:
        change_rng, mild_rng = jax.random.split(rng)
        changed = self.training.augmentation(change_rng, images)
        few, others = changed[: self.labelled], changed[self.labelled :]
        turns = TURNS if self.class_rotations else 1
        asked = turns * self.labelled
        told = quarter_turns(others) if self.rotation_weight else others
        out = encoder(jnp.concatenate([quarter_turns(few, tuple(range(turns))), told]))

        targets = jnp.tile(labels[: self.labelled], turns)
        smoothing = self.training.label_smoothing
        loss, accuracy = cross_entropy(out.classes[:asked], targets, smoothing)
        metrics = {"loss/class": loss, "accuracy": accuracy}
        if self.rotation_weight:
            shown = jnp.repeat(jnp.arange(TURNS), len(others))
            rotated = out.turns[asked:]
            if self.class_rotations:  # then the labelled images are there in all turns, too
                shown = jnp.concatenate([jnp.repeat(jnp.arange(TURNS), self.labelled), shown])
                rotated = out.turns
            rotation_loss, metrics["accuracy/rotation"] = cross_entropy(rotated, shown)
            loss += self.rotation_weight * rotation_loss
        if self.pseudo_weight:
            mild = dataclasses.replace(self.training.augmentation, color=0.0, cutout=0)
            seen = encoder(mild(mild_rng, images[self.labelled :])).classes
            p = jax.nn.softmax(jax.lax.stop_gradient(seen))
            sure = p.max(-1) >= self.pseudo_confidence
            upright = out.classes[asked : asked + len(others)]
            losses = optax.softmax_cross_entropy_with_integer_labels(upright, p.argmax(-1))
            loss += self.pseudo_weight * jnp.mean(sure * losses)
            metrics["pseudo/share"] = sure.mean()
        return loss, metrics | {"loss": loss}


def cross_entropy(logits: Array, targets: Array, smoothing: float = 0.0) -> tuple[Array, Array]:
    """Mean softmax cross entropy, and accuracy."""
    wanted = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, wanted).mean(), jnp.mean(logits.argmax(-1) == targets)


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
    """Trains an encoder for an objective, from fresh weights or from `start`.

    It can be stopped and resumed like every job, see `compare_gan.train.loop.run`; the run folder notes what
    it was made from.

    Args:
      name: of the job, for people.
      spec: what is trained.
      split: images, with the labels that may be seen.
      objective: what is learned.
      training: how.
      run_dir: gets checkpoints and metrics.jsonl.
      schedule: for how long.
      seed: of all that is random.
      start: weights to begin with.
      labelled: labelled images that each batch begins with, beside `training.batch_size` of all images.

    Raises:
      UserError: the run folder holds a run of other images, labels, settings or another seed.
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
    """One job for equal arguments, since a job keeps its compiled programs."""
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder(spec, nnx.Rngs(0))))
    rate = optax.cosine_decay_schedule(training.learning_rate, steps)
    tx = optax.adamw(rate, weight_decay=training.weight_decay)

    def init(rng: Array) -> EncoderState:
        net = net_state(Encoder(spec, nnx.Rngs(rng)))
        return EncoderState(jnp.zeros((), jnp.int32), net, tx.init(net.params))

    def step(state: EncoderState, batch: Batch, rng: Array, shard: Callable) -> tuple[EncoderState, Metrics]:
        del shard  # what is drawn at random here is small
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
    dataset: ImageDataset, width: int, steps: int, seed: int, run_dir: Path
) -> TrainedEncoder:
    """A classifier from all labels of a data set: what scores are measured with, not what GANs learn from.

    Raises:
      UserError: a training image has no label.
    """
    if (dataset.train.labels == UNLABELLED).any():
        raise UserError(f"{dataset.name}: a classifier to measure with needs a label on every training image")
    training = EncoderTraining(batch_size=128)
    spec = EncoderSpec(dataset.spec.image_shape, dataset.class_names, width)
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

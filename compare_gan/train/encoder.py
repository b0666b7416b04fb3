"""Training an encoder: by rotations without labels, by classes, or by both."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

from compare_gan.core.errors import UserError
from compare_gan.core.types import Array, Batch, Metrics, NetState
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.features.encoder import Encoder, EncoderOut, EncoderSpec, TrainedEncoder
from compare_gan.nn.images import TURNS, quarter_turns, random_shift
from compare_gan.nn.state import bind, net_state
from compare_gan.train.loop import Job, Schedule, run

# An encoder (images -> what it says), images [B, H, W, C], labels [B], a key -> loss, numbers to report.
Objective = Callable[[Callable[[Array], EncoderOut], Array, Array, Array], tuple[Array, Metrics]]


@dataclasses.dataclass(frozen=True)
class EncoderTraining:
    """AdamW with a rate that falls to zero along a cosine, on images shifted at random."""

    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    max_shift: int = 1  # pixels


@struct.dataclass
class EncoderState:
    """All that training an encoder changes."""

    step: Array
    net: NetState
    opt: optax.OptState


def by_rotation(max_shift: int) -> Objective:
    """Tell by how many quarter turns an image was rotated: Gidaris et al., https://arxiv.org/abs/1803.07728.

    Every image is shown in all four. The labels are not looked at.
    """

    def objective(encoder, images, labels, rng):
        del labels
        views = quarter_turns(random_shift(rng, images, max_shift))
        loss, accuracy = cross_entropy(encoder(views).turns, jnp.repeat(jnp.arange(TURNS), len(images)))
        return loss, {"loss": loss, "accuracy": accuracy}

    return objective


def by_class(max_shift: int) -> Objective:
    """Tell the class of an image; every image needs a label."""

    def objective(encoder, images, labels, rng):
        loss, accuracy = cross_entropy(encoder(random_shift(rng, images, max_shift)).classes, labels)
        return loss, {"loss": loss, "accuracy": accuracy}

    return objective


def by_both(labelled: Split, batch_size: int, rotation_weight: float, max_shift: int) -> Objective:
    """Classes of a few labelled images, and rotations of all: S4L, Zhai et al., https://arxiv.org/abs/1905.03670.

    Unlike there the class is asked of upright images only; some digits turned are others.

    Args:
      labelled: the images whose labels may be seen.
      batch_size: how many of them each step sees, drawn at random.
      rotation_weight: weight of the rotation loss beside the class loss.
      max_shift: pixels that images are moved by at random.
    """

    def objective(encoder, images, labels, rng):
        del labels
        pick_rng, shift_rng = jax.random.split(rng)
        pick = jax.random.randint(pick_rng, (batch_size,), 0, len(labelled))
        few = jnp.asarray(labelled.images)[pick].astype(jnp.float32) / 255
        both = random_shift(shift_rng, jnp.concatenate([few, images]), max_shift)
        out = encoder(jnp.concatenate([both[:batch_size], quarter_turns(both[batch_size:])]))
        class_loss, accuracy = cross_entropy(out.classes[:batch_size], jnp.asarray(labelled.labels)[pick])
        targets = jnp.repeat(jnp.arange(TURNS), len(images))
        turn_loss, turn_accuracy = cross_entropy(out.turns[batch_size:], targets)
        loss = class_loss + rotation_weight * turn_loss
        return loss, {"loss": loss, "accuracy": accuracy, "accuracy/rotation": turn_accuracy}

    return objective


def cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Mean softmax cross entropy, and accuracy."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
    return loss, jnp.mean(logits.argmax(-1) == targets)


def train_encoder(
    name: str,
    spec: EncoderSpec,
    split: Split,
    objective: Objective,
    *,
    training: EncoderTraining,
    run_dir: Path,
    schedule: Schedule,
    seed: int,
    start: NetState | None = None,
) -> TrainedEncoder:
    """Trains an encoder for an objective, from fresh weights or from `start`.

    Stops and goes on like every job, see `compare_gan.train.loop.run`.
    """
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder(spec, nnx.Rngs(0))))
    rate = optax.cosine_decay_schedule(training.learning_rate, schedule.steps)
    tx = optax.adamw(rate, weight_decay=training.weight_decay)

    def init(rng: Array) -> EncoderState:
        net = net_state(Encoder(spec, nnx.Rngs(rng))) if start is None else jax.tree.map(jnp.asarray, start)
        return EncoderState(jnp.zeros((), jnp.int32), net, tx.init(net.params))

    def step(state: EncoderState, batch: Batch, rng: Array, spread: Callable) -> tuple[EncoderState, Metrics]:
        del spread  # what is drawn at random here is small
        images = batch.images[0].astype(jnp.float32) / 255

        def loss_fn(params):
            encoder = bind(definition, params, state.net.extra)
            loss, metrics = objective(lambda x: encoder(x, train=True), images, batch.labels[0], rng)
            return loss, (net_state(encoder).extra, metrics)

        gradients, (extra, metrics) = jax.grad(loss_fn, has_aux=True)(state.net.params)
        updates, opt = tx.update(gradients, state.opt, state.net.params)
        net = NetState(optax.apply_updates(state.net.params, updates), extra)
        return EncoderState(state.step + 1, net, opt), metrics

    job = Job(name, init, step, training.batch_size, shown=("loss", "accuracy"))
    state = run(job, split, run_dir=run_dir, schedule=schedule, seed=seed)
    return TrainedEncoder(spec, jax.device_get(state.net), name)


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
        by_class(training.max_shift),
        training=training,
        run_dir=run_dir,
        schedule=Schedule(steps),
        seed=seed,
    )

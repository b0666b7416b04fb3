"""Consistency of predictions under strong augmentation: Sohn et al., https://arxiv.org/abs/2001.07685."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from compare_gan.core.types import Array, Metrics
from compare_gan.features.encoder import EncoderSpec
from compare_gan.nn.images import TURNS
from compare_gan.training.encoder import Objective, cross_entropy

ALIGNMENT_DECAY = 1 - 1 / 128  # of the mean prediction; ReMixMatch averages the last 128 batches


class MeanPrediction(nnx.Module):
    """The moving average of predicted class probabilities, [K]."""

    def __init__(self, classes: int):
        self.mean = nnx.Variable(jnp.full(classes, 1 / classes, jnp.float32))

    def update(self, p: Array) -> None:
        """Includes the predictions p [B, K] of a batch."""
        self.mean[...] = ALIGNMENT_DECAY * self.mean[...] + (1 - ALIGNMENT_DECAY) * p.mean(0)


@dataclasses.dataclass(frozen=True)
class FixMatch(Objective):
    """Classification of the labelled images, and of others by confident pseudo-labels.

    The first `labelled` images of a batch are labelled; the labels of the others are ignored. The
    pseudo-label of another image is the class predicted for a weakly augmented copy. If its probability is at
    least `confidence`, the encoder learns to predict it for a strongly augmented copy. First, predictions are
    aligned with the shares of the classes among the kept labels (ReMixMatch, Berthelot et al.,
    https://arxiv.org/abs/1911.09785): they are multiplied by the ratio of these shares to the mean prediction
    of recent batches. As in ReMixMatch, the rotation of one rotated copy of each of the others is predicted.
    """

    labelled: int
    class_shares: tuple[float, ...]  # of each class among the kept labels
    rotation_weight: float = 1.0
    pseudo_weight: float = 1.0
    confidence: float = 0.95

    def make_head(self, spec: EncoderSpec, rngs: nnx.Rngs) -> MeanPrediction:
        del spec, rngs
        return MeanPrediction(len(self.class_shares))

    def __call__(self, encoder, head: MeanPrediction, images, labels, rng) -> tuple[Array, Metrics]:
        weak_rng, other_rng, strong_rng = jax.random.split(rng, 3)
        weak, others = self.training.augmentation, images[self.labelled :]
        views = weak(weak_rng, images)
        p = jax.nn.softmax(jax.lax.stop_gradient(encoder(views[self.labelled :]).classes))
        aligned = align(p, jnp.array(self.class_shares), head.mean[...])
        head.update(p)

        strong = self.training.strong(strong_rng, weak(other_rng, others))
        turned = [jnp.rot90(views[self.labelled + k :: TURNS], k, (1, 2)) for k in range(TURNS)]
        turned = turned if self.rotation_weight else []
        out = encoder(jnp.concatenate([views[: self.labelled], strong, *turned]))
        known, guessed = out.classes[: self.labelled], out.classes[self.labelled : len(images)]
        class_loss, accuracy = cross_entropy(known, labels[: self.labelled], self.training.label_smoothing)
        pseudo_loss, share = pseudo_label_loss(guessed, aligned, self.confidence)
        loss = class_loss + self.pseudo_weight * pseudo_loss
        metrics = {
            "loss/class": class_loss,
            "loss/pseudo": pseudo_loss,
            "accuracy": accuracy,
            "pseudo/share": share,
        }
        if self.rotation_weight:
            rotations = jnp.concatenate([jnp.full(len(part), k) for k, part in enumerate(turned)])
            rotation_loss, metrics["accuracy/rotation"] = cross_entropy(out.turns[len(images) :], rotations)
            loss += self.rotation_weight * rotation_loss
        return loss, metrics | {"loss": loss}


def align(p: Array, shares: Array, mean: Array) -> Array:
    """Predictions p [B, K] times shares / mean, normalised to a sum of 1.

    Args:
      p: class probabilities.
      shares: [K] the shares that the classes should have.
      mean: [K] the mean of recent predictions.
    """
    scaled = p * (shares / jnp.maximum(mean, 1e-6))
    return scaled / jnp.maximum(scaled.sum(-1, keepdims=True), 1e-30)


def pseudo_label_loss(logits: Array, p: Array, confidence: float) -> tuple[Array, Array]:
    """The loss of logits [B, K] on pseudo-labels, the most probable classes in p [B, K].

    Returns:
      The sum of the cross entropy over the rows with a probability of at least `confidence`, divided by B;
      and the share of these rows.
    """
    confident = p.max(-1) >= confidence
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, p.argmax(-1))
    return jnp.mean(confident * losses), confident.mean()

"""Classification of the labelled images, and rotation prediction of all."""

import dataclasses

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array, Metrics
from compare_gan.nn.images import TURNS, quarter_turns
from compare_gan.training.encoder import Objective, cross_entropy
from compare_gan.training.objectives.fixmatch import pseudo_label_loss


@dataclasses.dataclass(frozen=True)
class S4L(Objective):
    """Classification of labelled images plus rotation prediction: Zhai et al., https://arxiv.org/abs/1905.03670.

    The first `labelled` images of a batch are labelled; the labels of the others are ignored. With
    `pseudo_weight` the others are also trained on pseudo-labels: the class that the network predicts, with at
    least `pseudo_confidence`, for a weakly augmented copy. Sohn et al., https://arxiv.org/abs/2001.07685.
    """

    labelled: int
    rotation_weight: float = 1.0
    class_rotations: bool = False  # also classify rotated copies of the labelled images
    pseudo_weight: float = 0.0
    pseudo_confidence: float = 0.95

    def __call__(self, encoder, head, images, labels, rng) -> tuple[Array, Metrics]:
        del head
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
            upright = out.classes[num_classified : num_classified + len(others)]
            pseudo_loss, metrics["pseudo/share"] = pseudo_label_loss(upright, p, self.pseudo_confidence)
            loss += self.pseudo_weight * pseudo_loss
        return loss, metrics | {"loss": loss}

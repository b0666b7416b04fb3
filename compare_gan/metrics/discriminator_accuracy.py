"""Accuracy of the discriminator on training, held-out and generated images.

If it classifies training images as real but held-out images as generated, it has memorised them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from compare_gan.core.types import DiscriminatorOut
from compare_gan.metrics.context import BATCH, Discriminator, EvalContext, ImageSet, Scores, metric, require


def accuracy(logits: np.ndarray, real: bool) -> float:
    """Fraction of logits [N] with the correct sign; 0 counts as real."""
    return float(np.mean((logits >= 0) == real))


def discriminator_outputs(
    discriminator: Discriminator, images: ImageSet, take: Callable[[DiscriminatorOut], Any]
) -> np.ndarray:
    """`take(output)` of the discriminator for all images of a set, computed in batches and concatenated."""
    found = []
    for start in range(0, len(images.images), BATCH):
        part = slice(start, start + BATCH)
        labels = None if images.labels is None else images.labels[part]
        found.append(np.asarray(take(discriminator(images.images[part], labels))))
    return np.concatenate(found)


@metric(
    "discriminator_accuracy",
    "train_accuracy",
    "test_accuracy",
    "fake_accuracy",
    needs={"discriminator", "images", "train"},
)
def discriminator_accuracy(ctx: EvalContext) -> Scores:
    """On training, held-out and generated images; compare_gan uses as many training as held-out images."""
    discriminator, train = (
        require(ctx.discriminator, "a discriminator"),
        require(ctx.train, "training images"),
    )

    def accuracy_on(images: ImageSet, real: bool) -> float:
        return accuracy(discriminator_outputs(discriminator, images, lambda out: out.logits), real)

    return {
        "train_accuracy": accuracy_on(train, True),
        "test_accuracy": accuracy_on(ctx.real, True),
        "fake_accuracy": accuracy_on(ctx.fake, False),
    }

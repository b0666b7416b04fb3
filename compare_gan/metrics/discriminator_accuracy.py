"""Does the discriminator tell real images from generated ones, and images it has seen from others?

If it takes training images for real and held-out ones for generated, it has learned them by heart.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from compare_gan.core.types import DiscriminatorOut
from compare_gan.metrics.context import BATCH, Discriminator, EvalContext, ImageSet, Scores, metric, require


def accuracy(logits: np.ndarray, real: bool) -> float:
    """Share of logits [N] on the right side of zero, which counts as real."""
    return float(np.mean((logits >= 0) == real))


def discriminator_outputs(
    discriminator: Discriminator, images: ImageSet, take: Callable[[DiscriminatorOut], Any]
) -> np.ndarray:
    """What is taken of what the discriminator says of a set, a batch at a time."""
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
    """On training, held-out and generated images; compare_gan takes as many training as held-out ones."""
    discriminator, train = (
        require(ctx.discriminator, "a discriminator"),
        require(ctx.train, "training images"),
    )

    def share(images: ImageSet, real: bool) -> float:
        return accuracy(discriminator_outputs(discriminator, images, lambda out: out.logits), real)

    return {
        "train_accuracy": share(train, True),
        "test_accuracy": share(ctx.real, True),
        "fake_accuracy": share(ctx.fake, False),
    }

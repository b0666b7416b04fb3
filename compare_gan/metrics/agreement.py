"""Does a conditional generator draw what it was asked for?"""

import numpy as np

from compare_gan.core.registry import METRICS
from compare_gan.metrics.context import EvalContext


def agreement(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows of [N, K] whose greatest entry is at the label."""
    return float(np.mean(logits.argmax(1) == labels))


@METRICS.register("class_agreement")
def class_agreement(ctx: EvalContext) -> dict[str, float | None]:
    """How often a generated image is classified as its class; None without classes, or under others.

    The classifier is the extractor's, which has learned from real images and all their labels.
    """
    if ctx.fake.labels is None or not ctx.fake.seen.classes.shape[1]:
        return {"class_agreement": None}
    return {"class_agreement": agreement(ctx.fake.seen.classes, ctx.fake.labels)}

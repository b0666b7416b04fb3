"""Does a conditional generator draw what it was asked for?"""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric


def agreement(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows of [N, K] whose greatest entry is at the label."""
    return float(np.mean(logits.argmax(1) == labels))


@metric("class_agreement", needs={"summary"}, more_is_better=True)
def class_agreement(ctx: EvalContext) -> Scores:
    """How often a generated image is classified as its class; None without classes.

    The classifier is the extractor's, which has learned from real images and all their labels.
    """
    predictions = ctx.fake.summary.predictions
    if ctx.fake.labels is None or predictions is None:
        return {"class_agreement": None}
    return {"class_agreement": float(np.mean(np.concatenate(predictions.likeliest) == ctx.fake.labels))}

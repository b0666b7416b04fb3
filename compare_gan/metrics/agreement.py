"""Does a conditional generator draw what it was asked for?"""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric


def agreement(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows of [N, K] whose greatest entry is at the label."""
    return float(np.mean(logits.argmax(1) == labels))


@metric("class_agreement", needs={"summary", "logits", "same_classes", "labels"}, higher_is_better=True)
def class_agreement(ctx: EvalContext) -> Scores:
    """How often a generated image is classified as its class; None without classes.

    The classifier is the extractor's, which has learned from real images and all their labels. It must know
    the classes that were asked for. Images without a label do not count.
    """
    labels, predictions = ctx.fake.labels, ctx.fake.summary.predictions
    if not ctx.same_classes or labels is None or predictions is None or not (labels >= 0).any():
        return {"class_agreement": None}
    right = np.concatenate(predictions.top_class) == labels
    return {"class_agreement": float(np.mean(right[labels >= 0]))}

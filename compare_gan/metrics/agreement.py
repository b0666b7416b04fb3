"""Agreement between the classes of generated images and their labels, GAN-test: Shmelkov et al.,
https://arxiv.org/abs/1807.09499.

GAN-train of the same paper, the accuracy on real images of a classifier that is trained on generated ones, is
`classification_accuracy_score`.
"""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric


def agreement(logits: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of rows of logits [N, K] whose argmax equals the label [N]."""
    return float(np.mean(logits.argmax(1) == labels))


@metric("class_agreement", needs={"summary", "logits", "same_classes", "labels"}, higher_is_better=True)
def class_agreement(ctx: EvalContext) -> Scores:
    """Fraction of generated images that the extractor classifies as their label; None without classes.

    The extractor is the classifier of GAN-test: it was trained on real images with all labels, and must have
    the same classes (`compare-gan classifier` trains one). Unlabelled images are ignored.
    """
    labels, predictions = ctx.fake.labels, ctx.fake.summary.predictions
    if not ctx.same_classes or labels is None or predictions is None or not (labels >= 0).any():
        return {"class_agreement": None}
    correct = np.concatenate(predictions.top_class) == labels
    return {"class_agreement": float(np.mean(correct[labels >= 0]))}

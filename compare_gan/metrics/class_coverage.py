"""Classes that generated images cover, and their shares: Metz et al., https://arxiv.org/abs/1611.02163.

The paper counts the modes of a data set by the classes that a classifier predicts for generated images.

Shape letters: N samples, K classes.
"""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric


def coverage(real: np.ndarray, fake: np.ndarray) -> float:
    """Fraction of the classes of `real` [N] that occur in `fake` [M]."""
    return float(np.isin(np.unique(real), fake).mean())


def share_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Total variation distance of the class shares of `real` [N] and `fake` [M], in [0, 1].

    It is the fraction of images whose class would have to change.
    """
    num_classes = int(max(real.max(), fake.max())) + 1
    shares = [np.bincount(classes, minlength=num_classes) / len(classes) for classes in (real, fake)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


@metric(
    "class_coverage",
    "classes_covered",
    "class_share_distance",
    needs={"summary", "logits"},
    higher_is_better={"classes_covered"},
)
def class_coverage(ctx: EvalContext) -> Scores:
    """From the classes that the extractor predicts for real and for generated images; None without classes.

    A conditional GAN is asked for even shares, unless it was trained to match those of the training images.
    """
    real, fake = ctx.real.summary.predictions, ctx.fake.summary.predictions
    if real is None or fake is None:
        return {"classes_covered": None, "class_share_distance": None}
    classes = np.concatenate(real.top_class), np.concatenate(fake.top_class)
    return {"classes_covered": coverage(*classes), "class_share_distance": share_distance(*classes)}

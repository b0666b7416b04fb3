"""Frechet distance in matched class shares, and the spread within classes."""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.frechet import frechet_distance, moments


def share_weights(classes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Weights [N] under which samples of `classes` [N] have the class shares of the samples `wanted` [M].

    They sum to 1. The shares of classes without a sample in `classes` are spread over the others.
    """
    num_classes = max(classes.max(), wanted.max()) + 1
    counts, target = (np.bincount(values, minlength=num_classes) for values in (classes, wanted))
    per_sample = np.divide(target, counts, out=np.zeros(num_classes), where=counts > 0)
    weights = per_sample[classes]
    return weights / weights.sum() if weights.any() else np.full(len(classes), 1 / len(classes))


def weighted_moments(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [F] and covariance [F, F] of features [N, F] with weights [N] that sum to 1.

    The covariance is divided by 1 - sum(weights^2), which makes it unbiased; equal weights give that of
    `moments`.
    """
    mean = weights @ features.astype(np.float64)
    deviations = features - mean
    return mean, (weights[:, None] * deviations).T @ deviations / (1 - np.sum(weights**2))


@metric("class_matched_distance", needs={"features", "logits", "same_classes"})
def class_matched_distance(ctx: EvalContext) -> Scores:
    """The Frechet distance if generated images had the class shares of the real ones; None without classes.

    Classes are those that the extractor predicts, on both sides. Conditional generators are asked for even
    shares, others have the shares that they happen to make, so this compares both kinds without the shares.
    """
    real, fake = ctx.real.outputs, ctx.fake.outputs
    if not ctx.same_classes or not real.classes.shape[1]:
        return {"class_matched_distance": None}
    weights = share_weights(fake.classes.argmax(1), real.classes.argmax(1))
    if np.count_nonzero(weights) < 2:  # no covariance
        return {"class_matched_distance": None}
    distance = frechet_distance(*moments(real.features), *weighted_moments(fake.features, weights))
    return {"class_matched_distance": distance}


def within_class_variance(features: np.ndarray, labels: np.ndarray) -> float | None:
    """The trace of the covariance of features [N, F] within a class, mean over classes; None without classes.

    Only classes with at least two samples count; -1 is unlabelled.
    """
    found = [
        features[labels == label].astype(np.float64).var(0, ddof=1).sum()
        for label in np.unique(labels[labels >= 0])
        if (labels == label).sum() > 1
    ]
    return float(np.mean(found)) if found else None


@metric("within_class_spread", needs={"features", "labels", "real_labels"}, higher_is_better=True)
def within_class_spread(ctx: EvalContext) -> Scores:
    """Variance of generated images within the requested classes over that of real ones within theirs.

    1 means that images of a class vary as much as real ones. None without classes.
    """
    if ctx.real.labels is None or ctx.fake.labels is None:
        return {"within_class_spread": None}
    real = within_class_variance(ctx.real.outputs.features, ctx.real.labels)
    fake = within_class_variance(ctx.fake.outputs.features, ctx.fake.labels)
    return {"within_class_spread": fake / real if real and fake is not None else None}

"""Precision and recall within classes: Kynkaanniemi et al., https://arxiv.org/abs/1904.06991, in each class.

A GAN that lacks part of a class, or confuses two classes, may have the precision and recall of a good one
over all classes. All classes have equal weight.
"""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.prdc import RADIUS_K, Manifolds, manifolds

COLUMNS = ("class_precision", "class_recall", "class_precision_min", "class_recall_min")


def class_manifolds(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray, seed: int
) -> dict[int, Manifolds]:
    """Precision and recall per class, of features [N, F] and [M, F] with labels [N] and [M].

    From equal numbers of real and generated images of a class: the larger set is subsampled. Classes with too
    few of either are left out.
    """
    rng, found = np.random.default_rng(seed), {}
    for label in np.unique(fake_labels[fake_labels >= 0]):
        members = [np.flatnonzero(labels == label) for labels in (real_labels, fake_labels)]
        count = min(map(len, members))
        if count > RADIUS_K:
            x, y = (np.sort(rng.choice(rows, count, replace=False)) for rows in members)
            found[int(label)] = manifolds(real[x], fake[y], density_k=RADIUS_K)
    return found


@metric("class_prdc", *COLUMNS, needs={"features", "labels", "real_labels"}, higher_is_better=True)
def class_prdc(ctx: EvalContext) -> Scores:
    """The mean over classes, and the lowest class; None without classes."""
    if ctx.real.labels is None or ctx.fake.labels is None:
        return dict.fromkeys(COLUMNS)
    real, fake = ctx.real.outputs.features, ctx.fake.outputs.features
    found = class_manifolds(real, ctx.real.labels, fake, ctx.fake.labels, ctx.seed)
    if not found:
        return dict.fromkeys(COLUMNS)
    scores = np.array([[each.precision, each.recall] for each in found.values()])
    values = [*scores.mean(0), *scores.min(0)]
    return dict(zip(COLUMNS, map(float, values), strict=True))

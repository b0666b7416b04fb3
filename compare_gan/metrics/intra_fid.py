"""FID within classes: Miyato and Koyama, https://arxiv.org/abs/1802.05637. All classes have equal weight."""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.frechet import distance_of_features


def intra_class_distances(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray
) -> dict[int, float]:
    """Frechet distance per class, of features [N, F] and [M, F] with labels [N] and [M].

    Only for classes with at least two real and two generated images.
    """
    found = {}
    for label in np.unique(fake_labels[fake_labels >= 0]):
        x, y = real[real_labels == label], fake[fake_labels == label]
        if min(len(x), len(y)) > 1:
            found[int(label)] = distance_of_features(x, y)
    return found


@metric("intra_fid_score", needs={"features", "labels", "real_labels"})
def intra_fid_score(ctx: EvalContext) -> Scores:
    """The mean over classes; None without classes."""
    if ctx.real.labels is None or ctx.fake.labels is None:
        return {"intra_fid_score": None}
    real, fake = ctx.real.outputs.features, ctx.fake.outputs.features
    found = intra_class_distances(real, ctx.real.labels, fake, ctx.fake.labels)
    return {"intra_fid_score": float(np.mean(list(found.values()))) if found else None}

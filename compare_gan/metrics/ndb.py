"""Number of statistically different bins, NDB: Richardson and Weiss, https://arxiv.org/abs/1805.12462.

Clusters of the real images are bins; a bin differs if its shares of real and of generated images do, by a
test at the 5% level. So images without difference have about 0.05.

Shape letters: N, M samples; F features; K bins.
"""

import numpy as np
import scipy

from compare_gan.metrics.context import EvalContext, Scores, metric

BINS = 100  # as in the paper
IMAGES_PER_BIN = 10  # at least, on average: with fewer than 1000 real images there are fewer bins
LEVEL = 0.05


def different_bins(real: np.ndarray, fake: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Whether counts [K] of real and of generated samples differ: a z-test of two proportions per bin."""
    n, m = real.sum(), fake.sum()
    pooled = (real + fake) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = np.divide(real / n - fake / m, error, out=np.zeros(len(real)), where=error > 0)
    return 2 * scipy.stats.norm.sf(np.abs(z)) < level


def jensen_shannon(real: np.ndarray, fake: np.ndarray) -> float:
    """The divergence of the shares of two counts [K], in [0, log 2]."""
    return float(scipy.spatial.distance.jensenshannon(real, fake) ** 2)


def bin_counts(real: np.ndarray, fake: np.ndarray, bins: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How many [K] of [N, F] and of [M, F] are in each cluster of the first set."""
    from sklearn.cluster import KMeans  # slow to import

    clusters = KMeans(bins, n_init=1, random_state=seed).fit(real)
    labels = clusters.labels_, clusters.predict(fake.astype(real.dtype, copy=False))
    return np.bincount(labels[0], minlength=bins), np.bincount(labels[1], minlength=bins)


@metric("ndb", "ndb", "ndb_divergence", needs={"features"}, min_images=2 * IMAGES_PER_BIN)
def ndb(ctx: EvalContext) -> Scores:
    """The fraction of bins that differ, and the divergence of the shares, which depends less on N and M."""
    real, fake = ctx.real.outputs.features, ctx.fake.outputs.features
    counts = bin_counts(real, fake, min(BINS, len(real) // IMAGES_PER_BIN), ctx.seed)
    return {"ndb": float(different_bins(*counts).mean()), "ndb_divergence": jensen_shannon(*counts)}

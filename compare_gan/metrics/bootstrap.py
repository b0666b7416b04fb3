"""How far FID and KID would move with other images: bootstrap intervals, Efron 1979,
https://doi.org/10.1214/aos/1176344552.

Both sets are resampled with replacement many times. Images that are drawn twice add to a Frechet distance, so
that the replicates lie above the score; what counts is how they differ from their mean.

The intervals are about the images of one trained GAN. They do not cover what another training seed, or other
labels, would change, which is often more.

Shape letters: N, M samples; F features.
"""

from typing import NamedTuple

import numpy as np

from compare_gan.core.progress import Progress
from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.frechet import frechet_distance, moments
from compare_gan.metrics.kernel import (
    BLOCK,
    fewest,
    kernel_distance,
    pairs_of_blocks,
    polynomial_kernel,
    shuffled_features,
)

LEVEL = 0.95
FRECHET_REPLICATES = 200
FRECHET_REPLICATES_WIDE = 50  # of many features, where each takes as long as the distance itself: seconds
WIDE = 512  # features
KERNEL_REPLICATES = 1000


class Interval(NamedTuple):
    low: float
    high: float


def interval(score: float, replicates: np.ndarray, level: float = LEVEL) -> Interval:
    """Around a score: the quantiles of what replicates [R] differ by from their mean."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    # This estimate of a quantile allows for a few replicates reaching less far out than all would.
    low, high = np.quantile(replicates - replicates.mean(), tails, method="weibull")
    return Interval(score + float(low), score + float(high))


def frechet_replicates(
    real: np.ndarray,
    fake: np.ndarray,
    rng: np.random.Generator,
    count: int,
    real_labels: np.ndarray | None = None,
    fake_labels: np.ndarray | None = None,
) -> np.ndarray:
    """Frechet distances [count] of sets drawn from [N, F] and [M, F].

    Where labels [N] or [M] are given, each class keeps its share of that side: classes of a stratified test
    split, and of images drawn evenly, are not a matter of chance.
    """
    progress, found = Progress("fid_interval", count, unit="replicates", show_after_s=5.0), []
    for i in range(count):
        (mean1, cov1), (mean2, cov2) = (
            moments(x[np.sort(resampled(len(x), labels, rng))])
            for x, labels in ((real, real_labels), (fake, fake_labels))
        )
        found.append(frechet_distance(mean1, cov1, mean2, cov2))
        progress.update(i + 1, {})
    return np.array(found)


def resampled(count: int, labels: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Indices [count], drawn with replacement; within each class, if there are labels [count]."""
    if labels is None:
        return rng.integers(count, size=count)
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([rng.choice(members, len(members)) for members in classes])


def kernel_replicates(
    real: np.ndarray,
    fake: np.ndarray,
    rng: np.random.Generator,
    count: int = KERNEL_REPLICATES,
    max_block_size: int = BLOCK,
) -> np.ndarray:
    """Kernel distances [count] of sets drawn from [N, F] and [M, F], block by block.

    A kernel is computed once, and a replicate is a weight for each sample: how often it was drawn. Pairs of
    a sample with itself do not count, however often it was drawn.
    """
    total, blocks = np.zeros(count), 0
    for x, y in pairs_of_blocks(real, fake, max_block_size):
        u, v = (
            rng.multinomial(len(s), np.full(len(s), 1 / len(s)), size=count).astype(float) for s in (x, y)
        )
        across = ((u @ polynomial_kernel(x, y)) * v).sum(1) / (len(x) * len(y))
        total += within(polynomial_kernel(x, x), u) + within(polynomial_kernel(y, y), v) - 2 * across
        blocks += 1
    return total / blocks


def within(kernel: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [R] of a kernel [N, N] over pairs of different samples, for weights [R, N]."""
    kernel = kernel - np.diag(np.diag(kernel))
    squares = (weights**2).sum(1)
    return ((weights @ kernel) * weights).sum(1) / (weights.sum(1) ** 2 - squares)


@metric("fid_interval", "fid_score_low", "fid_score_high", needs={"features"})
def fid_interval(ctx: EvalContext) -> Scores:
    """Where 95% of FIDs would lie with other images of this GAN and other real ones.

    Classes keep their shares on each side whose labels are known.
    """
    real, fake, rng = ctx.real.seen.features, ctx.fake.seen.features, np.random.default_rng(ctx.seed)
    score = frechet_distance(*moments(real), *moments(fake))
    count = FRECHET_REPLICATES if real.shape[1] < WIDE else FRECHET_REPLICATES_WIDE
    replicates = frechet_replicates(real, fake, rng, count, ctx.real.labels, ctx.fake.labels)
    low, high = interval(score, replicates)
    return {"fid_score_low": low, "fid_score_high": high}


@metric("kid_interval", "kid_score_low", "kid_score_high", needs={"features"}, fewest=fewest)
def kid_interval(ctx: EvalContext) -> Scores:
    """Where 95% of KIDs would lie with other images of this GAN and other real ones."""
    real, fake = shuffled_features(ctx)
    score = kernel_distance(real, fake).mean
    low, high = interval(score, kernel_replicates(real, fake, np.random.default_rng(ctx.seed)))
    return {"kid_score_low": low, "kid_score_high": high}

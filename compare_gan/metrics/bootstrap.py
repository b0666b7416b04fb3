"""Bootstrap confidence intervals of FID, KID, CMMD and MIND: Efron 1979,
https://doi.org/10.1214/aos/1176344552.

Both sets are resampled with replacement. Repeated images increase all of them but KID, so the replicates are
above the score; the interval uses their deviations from their mean.

The intervals are for images of one trained GAN. They do not include the variation over training seeds or
labels, which is often larger.

Shape letters: N, M samples; F features.
"""

from typing import NamedTuple

import numpy as np

from compare_gan.core.progress import Progress
from compare_gan.metrics.cmmd import SCALE, gaussian_discrepancy, gaussian_kernel
from compare_gan.metrics.context import EvalContext, Scores, equal_size_features, metric
from compare_gan.metrics.frechet import frechet_distance, moments
from compare_gan.metrics.kernel import (
    BLOCK,
    kernel_distance,
    min_images,
    pairs_of_blocks,
    polynomial_kernel,
    shuffled_features,
)
from compare_gan.metrics.mind import (
    DIRECTIONS,
    blocks_of_directions,
    projections,
    random_directions,
    sliced_distance,
)
from compare_gan.metrics.prdc import block_slices

LEVEL = 0.95
FRECHET_REPLICATES = 200
FRECHET_REPLICATES_WIDE = 50  # with many features, where each replicate takes seconds
WIDE = 512  # number of features from which FRECHET_REPLICATES_WIDE applies
KERNEL_REPLICATES = 1000
GAUSSIAN_REPLICATES = 200  # over all pairs of images, not only those of a block
SLICED_REPLICATES = 100


class Interval(NamedTuple):
    low: float
    high: float


def interval(score: float, replicates: np.ndarray, level: float = LEVEL) -> Interval:
    """The interval around a score, from quantiles of the deviations of replicates [R] from their mean."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    # The Weibull estimate corrects for the narrower range of few replicates.
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
    """Frechet distances [count] of resampled features [N, F] and [M, F].

    With labels [N] or [M], resampling is stratified by class: the class frequencies of a stratified test
    split or of generated images are not random.
    """
    progress, found = Progress("fid_interval", count, unit="replicates", show_after_s=5.0), []
    for i in range(count):
        (mean1, cov1), (mean2, cov2) = (
            moments(x[np.sort(bootstrap_indices(len(x), labels, rng))])
            for x, labels in ((real, real_labels), (fake, fake_labels))
        )
        found.append(frechet_distance(mean1, cov1, mean2, cov2))
        progress.update(i + 1, {})
    return np.array(found)


def bootstrap_indices(count: int, labels: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Indices [count], drawn with replacement; stratified by class if there are labels [count]."""
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
    """Kernel distances [count] of resampled features [N, F] and [M, F], block by block.

    The kernel is computed once; a replicate weights each sample by how often it was drawn. Pairs of a sample
    with itself are excluded.
    """
    total, blocks = np.zeros(count), 0
    for x, y in pairs_of_blocks(real, fake, max_block_size):
        u, v = (
            rng.multinomial(len(s), np.full(len(s), 1 / len(s)), size=count).astype(float) for s in (x, y)
        )
        cross = ((u @ polynomial_kernel(x, y)) * v).sum(1) / (len(x) * len(y))
        total += (
            mean_over_distinct_pairs(polynomial_kernel(x, x), u)
            + mean_over_distinct_pairs(polynomial_kernel(y, y), v)
            - 2 * cross
        )
        blocks += 1
    return total / blocks


def mean_over_distinct_pairs(kernel: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [R] of a kernel [N, N] over pairs of distinct samples, for weights [R, N]."""
    kernel = kernel - np.diag(np.diag(kernel))
    squares = (weights**2).sum(1)
    return ((weights @ kernel) * weights).sum(1) / (weights.sum(1) ** 2 - squares)


def gaussian_replicates(
    real: np.ndarray, fake: np.ndarray, rng: np.random.Generator, count: int = GAUSSIAN_REPLICATES
) -> np.ndarray:
    """`gaussian_discrepancy` [count] of resampled features [N, F] and [M, F]."""
    u, v = (drawn_counts(len(s), rng, count) / len(s) for s in (real, fake))
    return SCALE * (
        weighted_kernel(real, real, u, u)
        + weighted_kernel(fake, fake, v, v)
        - 2 * weighted_kernel(real, fake, u, v)
    )


def weighted_kernel(x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sums [R] of the Gaussian kernel over all pairs of [N, F] and [M, F], for weights [R, N] and [R, M]."""
    total = np.zeros(len(u))
    for i in block_slices(len(x)):
        for j in block_slices(len(y)):
            total += ((u[:, i] @ gaussian_kernel(x[i], y[j])) * v[:, j]).sum(1)
    return total


def drawn_counts(size: int, rng: np.random.Generator, count: int) -> np.ndarray:
    """How often [count, size] each of `size` samples is drawn in each replicate."""
    return rng.multinomial(size, np.full(size, 1 / size), size=count)


def sliced_replicates(
    real: np.ndarray,
    fake: np.ndarray,
    directions: np.ndarray,
    rng: np.random.Generator,
    count: int = SLICED_REPLICATES,
) -> np.ndarray:
    """`sliced_distance` [count] of resampled features [N, F] and [N, F], for directions [D, F].

    Resampled projections are sorted like those from which they are drawn, so each is sorted only once.
    """
    u, v = (drawn_counts(len(real), rng, count) for _ in range(2))
    progress, total = (
        Progress("mind_interval", len(directions), unit="directions", show_after_s=5.0),
        np.zeros(count),
    )
    for start, block in blocks_of_directions(directions):
        (a, a_order), (b, b_order) = (
            (np.take_along_axis(found, order, axis=1), order)
            for found in (projections(real, block), projections(fake, block))
            for order in [found.argsort(axis=1)]
        )
        for i in range(count):
            total[i] += ((repeated(a, u[i][a_order]) - repeated(b, v[i][b_order])) ** 2).sum()
        progress.update(start + len(block), {})
    return 3 * real.shape[1] * total / (len(real) * len(directions))


def repeated(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Each element of rows [B, N] as often as `counts` [B, N] says, which sum to N in each row."""
    return np.repeat(rows.ravel(), counts.ravel()).reshape(rows.shape)


@metric("fid_interval", "fid_score_low", "fid_score_high", needs={"features"})
def fid_interval(ctx: EvalContext) -> Scores:
    """95% confidence interval of FID over generated and real images, stratified by known labels."""
    real, fake, rng = ctx.real.outputs.features, ctx.fake.outputs.features, np.random.default_rng(ctx.seed)
    score = frechet_distance(*moments(real), *moments(fake))
    count = FRECHET_REPLICATES if real.shape[1] < WIDE else FRECHET_REPLICATES_WIDE
    replicates = frechet_replicates(real, fake, rng, count, ctx.real.labels, ctx.fake.labels)
    low, high = interval(score, replicates)
    return {"fid_score_low": low, "fid_score_high": high}


@metric("kid_interval", "kid_score_low", "kid_score_high", needs={"features"}, min_images=min_images)
def kid_interval(ctx: EvalContext) -> Scores:
    """95% confidence interval of KID over generated and real images."""
    real, fake = shuffled_features(ctx)
    score = kernel_distance(real, fake).mean
    low, high = interval(score, kernel_replicates(real, fake, np.random.default_rng(ctx.seed)))
    return {"kid_score_low": low, "kid_score_high": high}


@metric("cmmd_interval", "cmmd_low", "cmmd_high", needs={"features"})
def cmmd_interval(ctx: EvalContext) -> Scores:
    """95% confidence interval of CMMD over generated and real images."""
    real, fake = ctx.real.outputs.features, ctx.fake.outputs.features
    replicates = gaussian_replicates(real, fake, np.random.default_rng(ctx.seed))
    low, high = interval(gaussian_discrepancy(real, fake), replicates)
    return {"cmmd_low": low, "cmmd_high": high}


@metric("mind_interval", "mind_low", "mind_high", needs={"features"})
def mind_interval(ctx: EvalContext) -> Scores:
    """95% confidence interval of MIND over generated and real images, for the directions of `mind`."""
    real, fake = equal_size_features(ctx)
    rng = np.random.default_rng(ctx.seed)
    directions = random_directions(DIRECTIONS, real.shape[1], rng)
    replicates = sliced_replicates(real, fake, directions, rng)
    low, high = interval(sliced_distance(real, fake, directions), replicates)
    return {"mind_low": low, "mind_high": high}

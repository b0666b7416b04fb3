"""Frechet distance of two sets of features, FID: Heusel et al., https://arxiv.org/abs/1706.08500.

Shape letters: N, M samples; F features; R rank.
"""

import numpy as np

from compare_gan.metrics.context import BATCH, EvalContext, Scores, metric
from compare_gan.metrics.summaries import Moments


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, F] -> mean [F] and unbiased covariance [F, F], in double precision."""
    total = Moments()
    for start in range(0, len(features), BATCH):
        total.add(features[start : start + BATCH])
    return total.mean, total.covariance


def frechet_distance(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of two Gaussians.

    |mean1 - mean2|^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)), never negative; NaN if any moment is NaN or
    Inf. The matrix root is not computed: see `root_trace`.
    """
    if not all(np.isfinite(x).all() for x in (mean1, cov1, mean2, cov2)):
        return float("nan")
    return distance(mean1, factor(cov1), np.trace(cov1), mean2, cov2)


def distance(
    mean1: np.ndarray, factor1: np.ndarray, trace1: float, mean2: np.ndarray, cov2: np.ndarray
) -> float:
    """The same with a precomputed factor and trace, to compare one Gaussian with many."""
    squared = np.sum((mean1 - mean2) ** 2) + trace1 + np.trace(cov2) - 2 * root_trace(factor1, cov2)
    return max(float(squared), 0.0)


def factor(cov: np.ndarray) -> np.ndarray:
    """A matrix A [F, R] with A A^T = cov.

    By Cholesky if cov is positive definite, else from its eigenvectors; eigenvalues that are zero up to
    rounding, some of them negative, are dropped.
    """
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov)
        kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
        return vectors[:, kept] * np.sqrt(values[kept])


def root_trace(factor1: np.ndarray, cov2: np.ndarray) -> float:
    """tr (cov1 cov2)^(1/2) for cov1 = A A^T: cov1 cov2 has the eigenvalues of the symmetric A^T cov2 A.

    They are real and non-negative; negative values from rounding count as zero.
    """
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(factor1.T @ cov2 @ factor1), 0)).sum())


def distance_of_features(x: np.ndarray, y: np.ndarray) -> float:
    """Frechet distance of features [N, F] and [M, F], without covariances if samples are fewer than features.

    With X, Y the centred features over the square root of N - 1, M - 1, the covariances are X^T X and
    Y^T Y, and the trace of the root of their product is the sum of the singular values of X Y^T [N, M].
    """
    if min(len(x), len(y)) >= x.shape[1]:
        return frechet_distance(*moments(x), *moments(y))
    (mean1, x), (mean2, y) = deviations(x), deviations(y)
    nuclear_norm = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return max(float(np.sum((mean1 - mean2) ** 2) + np.sum(x**2) + np.sum(y**2) - 2 * nuclear_norm), 0.0)


def deviations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [F] of [N, F], and X [N, F] with X^T X the covariance."""
    x = x.astype(np.float64)
    mean = x.mean(0)
    return mean, (x - mean) / np.sqrt(len(x) - 1)


@metric("fid_score", needs={"summary"})
def fid_score(ctx: EvalContext) -> Scores:
    """Between the features of held-out real images and of generated ones."""
    real, fake = ctx.real.summary.moments, ctx.fake.summary.moments
    return {"fid_score": frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)}


@metric("frechet_distance", needs={"summary"})
def frechet_distance_of(ctx: EvalContext) -> Scores:
    """The same under a generic name, which studies use: FID implies the Inception network."""
    return {"frechet_distance": fid_score(ctx)["fid_score"]}

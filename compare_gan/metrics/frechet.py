"""Frechet distance of two sets of features: Heusel et al., https://arxiv.org/abs/1706.08500."""

import numpy as np

from compare_gan.core.registry import METRICS
from compare_gan.metrics.context import EvalContext


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, F] -> mean [F] and unbiased covariance [F, F], in double precision."""
    features = features.astype(np.float64)
    return features.mean(0), np.cov(features, rowvar=False)


def frechet_distance(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of two Gaussians.

    |mean1 - mean2|^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)). The trace of that root is the sum of
    the singular values of cov1^(1/2) cov2^(1/2), which is real and also there for singular matrices.
    """
    overlap = np.linalg.svd(square_root(cov1) @ square_root(cov2), compute_uv=False).sum()
    return float(np.sum((mean1 - mean2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * overlap)


def square_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric root of a covariance; what rounding made negative counts as zero."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


@METRICS.register("frechet_distance")
def frechet_distance_of(ctx: EvalContext) -> dict[str, float | None]:
    """Between the features of held-out real images and of generated ones."""
    real, fake = moments(ctx.real.seen.features), moments(ctx.fake.seen.features)
    return {"frechet_distance": frechet_distance(*real, *fake)}

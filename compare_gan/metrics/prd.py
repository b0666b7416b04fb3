"""Precision and recall of distributions, PRD: Sajjadi et al., https://arxiv.org/abs/1806.00035.

Shape letters: N samples, F features, K clusters, A angles.
"""

from typing import NamedTuple

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.progress import Progress
from compare_gan.metrics.context import EvalContext, Scores, equal_size_features, metric

CLUSTERS = 20  # as in the paper


class Curve(NamedTuple):
    """Precision and recall [A], in [0, 1], from high recall to high precision."""

    precision: np.ndarray
    recall: np.ndarray


def curve(fake: np.ndarray, real: np.ndarray, angles: int = 1001, epsilon: float = 1e-10) -> Curve:
    """The curve of two histograms [K] that each sum to one: algorithm 1 of the paper.

    Args:
      angles: number of slopes, at equally spaced angles.
      epsilon: distance of the first and last angle from 0 and pi / 2.
    """
    slopes = np.tan(np.linspace(epsilon, np.pi / 2 - epsilon, angles))
    precision = np.minimum(real * slopes[:, None], fake).sum(1)
    # Sums of frequencies may exceed 1 by rounding.
    return Curve(np.clip(precision, 0, 1), np.clip(precision / slopes, 0, 1))


def f_beta(points: Curve, beta: float) -> np.ndarray:
    """F score [A] at each point; recall has `beta` times the weight of precision."""
    precision, recall = points
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall + 1e-10)


def best_f_betas(points: Curve, beta: float = 8) -> tuple[float, float]:
    """The maximum F_beta, which summarises recall, and the maximum F_1/beta, which summarises precision."""
    return float(f_beta(points, beta).max()), float(f_beta(points, 1 / beta).max())


def curve_of_features(
    fake: np.ndarray,
    real: np.ndarray,
    clusters: int = CLUSTERS,
    angles: int = 1001,
    runs: int = 10,
    seed: int = 0,
) -> Curve:
    """The mean curve over `runs` clusterings of [N, F] and [N, F].

    Raises:
      UserError: the sets differ in size, which would bias the clusters towards the larger one.
    """
    if len(fake) != len(real):
        raise UserError(
            f"{len(fake)} generated and {len(real)} real samples; PRD needs equal numbers of both"
        )
    progress, found = Progress("prd", runs, unit="clusterings", show_after_s=5.0), []
    for run in range(runs):
        found.append(curve(*histograms(fake, real, clusters, seed + run), angles))
        progress.update(run + 1, {})
    return Curve(*np.mean(found, axis=0))


def histograms(fake: np.ndarray, real: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Histograms [K] of both sets [N, F] over clusters of their union."""
    from sklearn.cluster import MiniBatchKMeans  # slow to import

    samples = np.concatenate([fake, real]).astype(np.float64)
    labels = MiniBatchKMeans(clusters, n_init=10, random_state=seed).fit(samples).labels_
    fake_counts, real_counts = (
        np.bincount(part, minlength=clusters) for part in np.split(labels, [len(fake)])
    )
    return fake_counts / len(fake), real_counts / len(real)


@metric("prd", "prd_f8", "prd_f1_8", needs={"features"}, higher_is_better=True, min_images=CLUSTERS)
def prd(ctx: EvalContext) -> Scores:
    """F_8 (recall) and F_1/8 (precision), from equal numbers of real and generated images."""
    real, fake = equal_size_features(ctx)
    f8, f1_8 = best_f_betas(curve_of_features(fake, real, seed=ctx.seed))
    return {"prd_f8": f8, "prd_f1_8": f1_8}

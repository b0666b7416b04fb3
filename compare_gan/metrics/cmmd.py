"""Maximum mean discrepancy with a Gaussian kernel, CMMD: Jayasumana et al., https://arxiv.org/abs/2401.09603.

Published values are of the CLIP features of `clip_vitl14_336`. Features are normalised, so distances are at
most 2, much less than the width of the kernel, 10. CMMD is therefore almost ten times the squared distance
between the means of the normalised features, and hardly depends on their spread.

Shape letters: N, M samples; F features.
"""

import math

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.prdc import block_slices

SIGMA = 10.0  # width of the kernel, as in the paper
SCALE = 1000.0  # of the score, as in the paper


def gaussian_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """`SCALE` times the squared MMD of [N, F] and [M, F], whose rows are normalised first.

    All pairs count, also those of a sample with itself, as in the authors' code. This estimate is biased
    upwards: equal distributions give about (1 / N + 1 / M) `SCALE` E[1 - k] for the kernel k of two samples.
    """
    return SCALE * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


def mean_kernel(x: np.ndarray, y: np.ndarray) -> float:
    """Mean of `gaussian_kernel` over all pairs, computed in blocks."""
    parts = [gaussian_kernel(x[i], y[j]).sum() for i in block_slices(len(x)) for j in block_slices(len(y))]
    return math.fsum(parts) / (len(x) * len(y))


def gaussian_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """exp(-d^2 / (2 sigma^2)) - 1 for all pairs [N, M] at distance d; kernels near 1 would lose digits."""
    return np.expm1((unit_rows(x) @ unit_rows(y).T - 1) / SIGMA**2)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Features [N, F] with rows of norm 1, in double precision; rows of zeros stay zero."""
    features = features.astype(np.float64)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norms > 0, norms, 1)


@metric("cmmd", needs={"features"})
def cmmd(ctx: EvalContext) -> Scores:
    """Between the features of held-out real images and of generated ones."""
    return {"cmmd": gaussian_discrepancy(ctx.real.outputs.features, ctx.fake.outputs.features)}

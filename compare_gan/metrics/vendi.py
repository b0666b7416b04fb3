"""Vendi score, the effective number of different images: Friedman and Dieng, https://arxiv.org/abs/2210.02410.

Shape letters: N samples, F features.
"""

import numpy as np
import scipy

from compare_gan.metrics.cmmd import unit_rows
from compare_gan.metrics.context import BATCH, EvalContext, Scores, metric


def vendi_score(features: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of K / N, with K the cosine similarities of [N, F]; in [1, N].

    K has the same eigenvalues as the smaller of X X^T and X^T X, with X the normalised features; so memory is
    bounded by F^2.
    """
    values = np.linalg.eigvalsh(smaller_gram(features) / len(features))
    return float(np.exp(scipy.special.entr(np.maximum(values, 0)).sum()))


def smaller_gram(features: np.ndarray) -> np.ndarray:
    """X X^T [N, N] of normalised features X if samples are fewer than features, else X^T X [F, F]."""
    count, width = features.shape
    if count < width:
        x = unit_rows(features)
        return x @ x.T
    total = np.zeros((width, width))
    for start in range(0, count, BATCH):
        x = unit_rows(features[start : start + BATCH])
        total += x.T @ x
    return total


@metric("vendi", needs={"features"}, higher_is_better=True)
def vendi(ctx: EvalContext) -> Scores:
    """Of generated images only. It measures diversity, not quality: noise has a high score, too.

    It increases with the number of images, so compare it with that of as many real images.
    """
    return {"vendi": vendi_score(ctx.fake.outputs.features)}

"""Monge inception distance, MIND: Berthet et al., https://arxiv.org/abs/2605.06797.

The squared 2-Wasserstein distance of features that are projected onto a random direction, averaged over
directions. It needs fewer images than FID, and no covariance.

Shape letters: N samples, F features, D directions, B directions of a block.
"""

from collections.abc import Iterator

import numpy as np

from compare_gan.metrics.context import BATCH, EvalContext, Scores, equal_size_features, metric

DIRECTIONS = 1000  # as in the paper
BLOCK = 50  # directions


def random_directions(count: int, num_features: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors [D, F], uniform on the sphere."""
    drawn = rng.standard_normal((count, num_features))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def sliced_distance(x: np.ndarray, y: np.ndarray, directions: np.ndarray) -> float:
    """3 F times the mean squared difference of sorted projections of [N, F] and [N, F] onto [D, F].

    Between isotropic Gaussians it is three times the Frechet distance.
    """
    total = 0.0
    for _, block in blocks_of_directions(directions):
        gaps = np.sort(projections(x, block), axis=1) - np.sort(projections(y, block), axis=1)
        total += float((gaps**2).sum())
    return 3 * x.shape[1] * total / (len(x) * len(directions))


def blocks_of_directions(directions: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks [B, F] of directions [D, F] with the index of their first one."""
    for start in range(0, len(directions), BLOCK):
        yield start, directions[start : start + BLOCK]


def projections(features: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Projections [B, N] of [N, F] onto [B, F], in double precision."""
    found = np.empty((len(directions), len(features)))
    for start in range(0, len(features), BATCH):
        found[:, start : start + BATCH] = directions @ features[start : start + BATCH].T
    return found


@metric("mind", needs={"features"})
def mind(ctx: EvalContext) -> Scores:
    """On features of equal numbers of real and generated images; the seed draws the directions."""
    real, fake = equal_size_features(ctx)
    directions = random_directions(DIRECTIONS, real.shape[1], np.random.default_rng(ctx.seed))
    return {"mind": sliced_distance(real, fake, directions)}

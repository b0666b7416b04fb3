"""Precision and recall, density and coverage, from nearest neighbours.

Improved precision and recall: Kynkaanniemi et al., https://arxiv.org/abs/1904.06991. Density and
coverage: Naeem et al., https://arxiv.org/abs/2002.09797.

Shape letters: N real and M generated samples, B of a block, F features, k neighbours.
"""

from typing import NamedTuple

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.progress import Progress
from compare_gan.metrics.context import EvalContext, Scores, equal_size_features, metric

BLOCK = 1024  # rows and columns of a block of distances
ROUNDING = 1e-12  # relative to the squared norms; smaller squared distances are rounding errors
RADIUS_K, DENSITY_K = 3, 5  # number of neighbours in the two papers


class Manifolds(NamedTuple):
    """All in [0, 1], except density, which may exceed 1."""

    precision: float  # fraction of generated samples inside the ball of a real one
    recall: float  # fraction of real samples inside the ball of a generated one
    density: float  # mean number of balls of real samples around a generated one, over k
    coverage: float  # fraction of real samples whose ball contains a generated one


def manifolds(
    real: np.ndarray, fake: np.ndarray, radius_k: int = RADIUS_K, density_k: int = DENSITY_K
) -> Manifolds:
    """Precision, recall, density and coverage of features [N, F] and [M, F].

    The radius of the closed ball of a sample is the distance to its k-th nearest neighbour in the same set.
    Distances are computed in double precision and in blocks.

    Args:
      real, fake: features.
      radius_k: k of precision and recall.
      density_k: k of density and coverage.

    Raises:
      UserError: a set has too few samples.
    """
    k = max(radius_k, density_k)
    if min(len(real), len(fake)) <= k:
        raise UserError(
            f"precision and recall of {len(real)} real and {len(fake)} generated samples, each of which "
            f"needs {k} neighbours; give more"
        )
    center = real.mean(0, dtype=np.float64)  # large offsets would lose precision
    real_radii, fake_radii = (nearest(x, k, center) for x in (real, fake))
    small, large, others = (
        real_radii[:, radius_k - 1],
        real_radii[:, density_k - 1],
        fake_radii[:, radius_k - 1],
    )
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    num_balls, closest = np.zeros(len(fake), int), np.full(len(real), np.inf)
    for i in block_slices(len(real)):
        x = real[i] - center
        for j in block_slices(len(fake)):
            d = squared_distances(x, fake[j] - center)
            precise[j] |= (d <= small[i, None]).any(0)
            recalled[i] |= (d <= others[j]).any(1)
            num_balls[j] += (d <= large[i, None]).sum(0)
            closest[i] = np.minimum(closest[i], d.min(1))
    return Manifolds(
        float(precise.mean()),
        float(recalled.mean()),
        float(num_balls.mean() / density_k),
        float((closest <= large).mean()),
    )


def nearest(points: np.ndarray, k: int, center: np.ndarray) -> np.ndarray:
    """Squared distances [N, k] of each of [N, F] to its k nearest neighbours, ascending."""
    kept, blocks = np.full((len(points), k), np.inf), block_slices(len(points))
    progress = Progress("neighbours", len(blocks), unit="blocks", show_after_s=5.0)
    for n, i in enumerate(blocks):
        x = points[i] - center
        for j in blocks[n:]:
            d = squared_distances(x, points[j] - center)
            if i == j:
                np.fill_diagonal(d, np.inf)
            else:
                kept[j] = smallest(kept[j], d.T)
            kept[i] = smallest(kept[i], d)
        progress.update(n + 1, {})
    return np.sort(kept)


def smallest(kept: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The k smallest values of each row of [B, k] and [B, B] combined, unordered."""
    k = kept.shape[1]
    return np.partition(np.concatenate([kept, more], axis=1), k - 1)[:, :k]


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances [B, B] of all pairs of [B, F] and [B, F]; exactly 0 for equal points."""
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)
    d = squares - 2 * (x @ y.T)
    d[d < ROUNDING * squares] = 0
    return d


def block_slices(count: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


@metric(
    "prdc",
    "precision",
    "recall",
    "density",
    "coverage",
    needs={"features"},
    higher_is_better=True,
    min_images=max(RADIUS_K, DENSITY_K) + 1,
)
def prdc(ctx: EvalContext) -> Scores:
    """On features of equal numbers of real and generated images, as in both papers.

    With more generated images, balls are smaller and more numerous, so recall decreases and coverage
    increases. Equal numbers make scores comparable.
    """
    return manifolds(*equal_size_features(ctx))._asdict()

"""Precision and recall, density and coverage, from nearest neighbours.

Improved precision and recall: Kynkaanniemi et al., https://arxiv.org/abs/1904.06991. Density and
coverage: Naeem et al., https://arxiv.org/abs/2002.09797.

Shape letters: N real and M generated samples, B of a block, F features, k neighbours.
"""

from typing import NamedTuple

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.progress import Progress
from compare_gan.metrics.context import EvalContext, Scores, equally_many, metric

BLOCK = 1024  # rows and columns of distances that are there at once
SAME = 1e-12  # of the squares of two lengths; a squared distance below is rounding
BALLS, COUNTED = 3, 5  # neighbours, as in the two papers


class Manifolds(NamedTuple):
    """In [0, 1], but density, which may be more."""

    precision: float  # of generated samples: share that is in the ball of a real one
    recall: float  # of real samples: share that is in the ball of a generated one
    density: float  # of generated samples: how many balls of real ones each is in, over k
    coverage: float  # of real samples: share whose ball holds a generated one


def manifolds(real: np.ndarray, fake: np.ndarray, balls: int = BALLS, counted: int = COUNTED) -> Manifolds:
    """Of features [N, F] and [M, F].

    The ball of a sample reaches as far as its k-th nearest neighbour among its like, which is in it.
    Distances are in double precision, and never more than a block of them is held.

    Args:
      real, fake: features.
      balls: k of precision and recall.
      counted: k of density and coverage.

    Raises:
      UserError: no sample has so many neighbours.
    """
    k = max(balls, counted)
    if min(len(real), len(fake)) <= k:
        raise UserError(
            f"precision and recall of {len(real)} real and {len(fake)} generated samples, each of which "
            f"needs {k} neighbours; give more"
        )
    center = real.mean(0, dtype=np.float64)  # distances from afar would lose digits
    of_real, of_fake = (nearest(x, k, center) for x in (real, fake))
    small, large, others = of_real[:, balls - 1], of_real[:, counted - 1], of_fake[:, balls - 1]
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    balls_around, closest = np.zeros(len(fake), int), np.full(len(real), np.inf)
    for i in parts(len(real)):
        x = real[i] - center
        for j in parts(len(fake)):
            d = squared_distances(x, fake[j] - center)
            precise[j] |= (d <= small[i, None]).any(0)
            recalled[i] |= (d <= others[j]).any(1)
            balls_around[j] += (d <= large[i, None]).sum(0)
            closest[i] = np.minimum(closest[i], d.min(1))
    return Manifolds(
        float(precise.mean()),
        float(recalled.mean()),
        float(balls_around.mean() / counted),
        float((closest <= large).mean()),
    )


def nearest(points: np.ndarray, k: int, center: np.ndarray) -> np.ndarray:
    """Squared distances [N, k] of each of [N, F] to its nearest others, in order."""
    kept, each = np.full((len(points), k), np.inf), parts(len(points))
    progress = Progress("neighbours", len(each), unit="blocks", show_after_s=5.0)
    for n, i in enumerate(each):
        x = points[i] - center
        for j in each[n:]:
            d = squared_distances(x, points[j] - center)
            if i == j:
                np.fill_diagonal(d, np.inf)
            else:
                kept[j] = smallest(kept[j], d.T)
            kept[i] = smallest(kept[i], d)
        progress.update(n + 1, {})
    return np.sort(kept)


def smallest(kept: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The k smallest of each row of [B, k] and [B, B] together, in any order."""
    k = kept.shape[1]
    return np.partition(np.concatenate([kept, more], axis=1), k - 1)[:, :k]


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All pairs of [B, F] and [B, F], in double precision; equal points are at zero."""
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)
    d = squares - 2 * (x @ y.T)
    d[d < SAME * squares] = 0
    return d


def parts(count: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


@metric(
    "prdc",
    "precision",
    "recall",
    "density",
    "coverage",
    needs={"features"},
    higher_is_better=True,
    fewest=max(BALLS, COUNTED) + 1,
)
def prdc(ctx: EvalContext) -> Scores:
    """Of the features of as many real as generated images, as in both papers.

    Recall falls and coverage rises with the number of generated images, for their balls shrink and there are
    more of them; with equal numbers, scores compare whatever number was drawn.
    """
    return manifolds(*equally_many(ctx))._asdict()

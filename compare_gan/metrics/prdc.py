"""Precision and recall, density and coverage, from nearest neighbours.

Improved precision and recall: Kynkaanniemi et al., https://arxiv.org/abs/1904.06991. Density and
coverage: Naeem et al., https://arxiv.org/abs/2002.09797.

Shape letters: N real and M generated samples, B of a block, F features, k neighbours.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.progress import Progress
from compare_gan.metrics.context import EvalContext, Scores, equal_size_features, metric

BLOCK = 1024  # rows and columns of a block of distances
CHUNK = 256  # pairs whose difference is held at once
MANY = 16  # pairs for each point of a block, above which a product of matrices is faster
TINY = 1e-30  # more than what float32 loses of numbers near 0
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
    Distances are computed in blocks; comparisons have the result of double precision.

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
    real_points, fake_points = Points.of(real, real, fake), Points.of(fake, real, fake)
    real_radii, fake_radii = nearest(real_points, k), nearest(fake_points, k)
    small, large, others = (
        real_radii[:, radius_k - 1],
        real_radii[:, density_k - 1],
        fake_radii[:, radius_k - 1],
    )
    precise, num_balls = np.zeros(len(fake), bool), np.zeros(len(fake), int)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for i in block_slices(len(real)):
        x = real_points.block(i)
        for j in block_slices(len(fake)):
            pairs = Pairs.of(x, fake_points.block(j))
            precise[j] |= pairs.within(small[i, None]).any(0)
            recalled[i] |= pairs.within(others[None, j]).any(1)
            inside = pairs.within(large[i, None])
            num_balls[j] += inside.sum(0)
            covered[i] |= inside.any(1)
    return Manifolds(
        float(precise.mean()),
        float(recalled.mean()),
        float(num_balls.mean() / density_k),
        float(covered.mean()),
    )


@dataclasses.dataclass(frozen=True)
class Points:
    """Features [N, F], from which `center` is subtracted before they are divided by `scale`."""

    features: np.ndarray
    center: np.ndarray  # [F] float64; large offsets would lose precision
    scale: float  # a power of two, so that dividing is exact; squared norms are then in the range of float32

    @classmethod
    def of(cls, features: np.ndarray, *sets: np.ndarray) -> "Points":
        """Points to be compared with those of `sets`, the first of which gives the center."""
        largest = max(float(max(points.max(), -points.min())) for points in sets)
        return cls(features, sets[0].mean(0, dtype=np.float64), 2.0 ** math.frexp(largest)[1])

    def block(self, rows: slice) -> "Block":
        points = self.features[rows] - self.center
        points /= self.scale
        return Block(self, rows, points.astype(np.float32), np.einsum("ij,ij->i", points, points))


class Block(NamedTuple):
    """Some of the points."""

    points: Points
    rows: slice
    rounded: np.ndarray  # [B, F] float32, centred and scaled
    squares: np.ndarray  # [B] float64, squared norms

    def exact(self) -> np.ndarray:
        """[B, F] float64, centred and scaled."""
        return (self.points.features[self.rows] - self.points.center) / self.points.scale


class Pairs(NamedTuple):
    """All pairs of the points of two blocks, with lower bounds of their squared distances.

    The bounds are computed in float32, which takes half the time of float64, and decide almost every
    comparison. A pair for which they do not is computed again, so results are those of float64.
    """

    x: Block
    y: Block
    low: np.ndarray  # [B, B] float32; NaN excludes a pair

    @classmethod
    def of(cls, x: Block, y: Block) -> "Pairs":
        error = relative_error(x)
        low = x.rounded @ y.rounded.T
        low *= -2
        low += ((1 - error) * x.squares - TINY).astype(np.float32)[:, None]
        low += ((1 - error) * y.squares).astype(np.float32)
        return cls(x, y, low)

    @property
    def transposed(self) -> "Pairs":
        return Pairs(self.y, self.x, self.low.T)

    @property
    def width(self) -> np.ndarray:
        """[B, 1] float64: at least the upper bound minus the lower bound of each pair in a row."""
        return (2 * relative_error(self.x) * (self.x.squares + self.y.squares.max()) + 2 * TINY)[:, None]

    def within(self, radii: np.ndarray) -> np.ndarray:
        """Whether squared distances are at most `radii` (float64, [B, 1] or [1, B]): [B, B]."""
        inside = self.low <= rounded_up(radii)
        rows, columns = np.nonzero(inside & (self.low >= -rounded_up(self.width - radii)))
        radii = np.broadcast_to(radii, inside.shape)[rows, columns]
        inside[rows, columns] = self.distances(rows, columns) <= radii
        return inside

    def distances(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Squared distances [P] of some of the pairs, in float64; exactly 0 for equal points."""
        if len(rows) > MANY * len(self.low):
            return squared_distances(self.x.exact(), self.y.exact())[rows, columns]
        found, x, y = np.empty(len(rows)), self.x.points, self.y.points
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            difference = x.features[self.x.rows][rows[part]].astype(np.float64)
            difference -= y.features[self.y.rows][columns[part]]
            difference /= x.scale
            found[part] = np.einsum("ij,ij->i", difference, difference)
        return found


def relative_error(block: Block) -> float:
    """A bound of the error of a squared distance that is computed in float32, relative to the squared norms.

    The product of F numbers, in any order of summation, contributes F roundings (Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.1), and a few in the second order. 16 more are for the
    rounding of points, norms and sums.
    """
    return (1.1 * block.rounded.shape[1] + 16) * 2.0**-24


def rounded_up(x: np.ndarray) -> np.ndarray:
    """The next larger float32 numbers."""
    return np.nextafter(x.astype(np.float32), np.float32(np.inf))


def nearest(points: Points, k: int) -> np.ndarray:
    """Squared distances [N, k] of each point to its k nearest neighbours, ascending; of scaled points."""
    kept, blocks = np.full((len(points.features), k), np.inf), block_slices(len(points.features))
    progress = Progress("neighbours", len(blocks), unit="blocks", show_after_s=5.0)
    for n, i in enumerate(blocks):
        x = points.block(i)
        for j in blocks[n:]:
            pairs = Pairs.of(x, points.block(j))
            if i == j:
                np.fill_diagonal(pairs.low, np.nan)
            else:
                kept[j] = smallest(kept[j], pairs.transposed)
            kept[i] = smallest(kept[i], pairs)
        progress.update(n + 1, {})
    return kept


def smallest(kept: np.ndarray, pairs: Pairs) -> np.ndarray:
    """The k smallest of each row of [B, k] and of the distances in each row of pairs, ascending."""
    k, reach = kept.shape[1], kept[:, -1:]
    if np.isinf(reach).any() and k <= pairs.low.shape[1]:  # without a bound all pairs would be computed
        kth = np.partition(pairs.low, k - 1, axis=1)[:, k - 1 : k]  # NaN counts as large
        reach = np.fmin(reach, kth + pairs.width)
    rows, columns = np.nonzero(pairs.low <= rounded_up(reach))
    counts = np.bincount(rows, minlength=len(kept))
    more = np.full((len(kept), counts.max()), np.inf)
    more[rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)] = pairs.distances(
        rows, columns
    )
    return np.sort(np.concatenate([kept, more], axis=1))[:, :k]


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances [B, B] of all pairs of [B, F] and [B, F] float64; exactly 0 for equal points."""
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

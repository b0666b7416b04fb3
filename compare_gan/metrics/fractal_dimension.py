"""Correlation dimension of a set of points: Grassberger and Procaccia 1983,
https://doi.org/10.1016/0167-2789(83)90298-1.
"""

import numpy as np
import scipy

from compare_gan.core.errors import UserError
from compare_gan.data.base import Images
from compare_gan.metrics.context import BATCH, EvalContext, Scores, metric

CENTERS = 100  # as in compare_gan


def fractal_dimension(points: Images, centers: np.ndarray, bins: int = 1000, scale: float = 0.1) -> float:
    """Slope of log N(r) over log r, where N(r) counts pairs of a point and a centre closer than r.

    As in compare_gan, a line is fitted around the middle of the range of log N(r).

    Args:
      points: [N, ...], such as images; flattened.
      centers: [M] indices of the centres.
      bins: number of radii between the smallest and the largest distance.
      scale: half-width of the fitted range, as a fraction of the full range.

    Raises:
      UserError: there are too few distinct distances.
    """
    center_points = flat(points[centers])
    parts = (points[start : start + BATCH] for start in range(0, len(points), BATCH))
    cdist = scipy.spatial.distance.cdist
    distances = np.sort(np.concatenate([cdist(flat(part), center_points) for part in parts]), axis=None)
    positive = distances[distances > 0]
    if not len(positive):
        raise UserError("fractal dimension: all points are identical")
    radii = np.geomspace(positive[0], positive[-1], bins)[1:]
    x, y = np.log(radii), np.log(np.searchsorted(distances, radii))
    low, high = np.log(len(centers)), np.log(len(distances))
    middle, reach = (low + high) / 2, scale * (high - low)
    start, end = np.argmax(y > middle - reach), np.argmax(y > middle + reach)
    if end - start < 2:
        raise UserError(f"fractal dimension: {len(points)} points have too few distinct distances; give more")
    return float(np.polyfit(x[start:end], y[start:end], 1)[0])


def flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(len(points), -1)


@metric("fractal_dimension", needs={"images"})
def fractal_dimension_of(ctx: EvalContext) -> Scores:
    """Of the pixels of generated images; None if these are too few or too similar."""
    images = ctx.fake.images
    centers = np.random.default_rng(ctx.seed).integers(len(images), size=CENTERS)
    try:
        return {"fractal_dimension": fractal_dimension(images, centers)}
    except UserError:
        return {"fractal_dimension": None}

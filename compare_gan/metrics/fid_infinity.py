"""FID extrapolated to infinitely many generated images: Chong and Forsyth, https://arxiv.org/abs/1911.07023.

FID of N images has a bias of order 1 / N that depends on the generator, so the ranking of two generators may
change with N. Here a line is fitted to FID over 1 / N and extrapolated to 0. As in the paper, the number of
real images is fixed; unlike there, latent vectors are not drawn from a Sobol sequence.
"""

import numpy as np

from compare_gan.core.progress import Progress
from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.frechet import distance, factor, moments

POINTS = 15
MIN_IMAGES = 5000  # of the first point, as in the paper; at most half of all images


def frechet_distance_of_infinity(
    mean: np.ndarray, cov: np.ndarray, fake: np.ndarray, rng: np.random.Generator, points: int = POINTS
) -> float:
    """Extrapolated distance between a Gaussian and features [N, F]; it may be negative by chance.

    Args:
      mean, cov: mean [F] and covariance [F, F] of the real features.
      fake: features of generated images.
      rng: draws the subset of each point.
      points: number of distances for the line fit.
    """
    root, trace = factor(cov), float(np.trace(cov))
    counts = np.linspace(min(MIN_IMAGES, len(fake) // 2), len(fake), points).astype(int)
    progress, found = Progress("fid_infinity", points, unit="distances", show_after_s=5.0), []
    for i, count in enumerate(counts):
        drawn = np.sort(rng.choice(len(fake), count, replace=False))
        found.append(distance(mean, root, trace, *moments(fake[drawn])))
        progress.update(i + 1, {})
    return float(np.polyfit(1 / counts, found, 1)[1])


@metric("fid_infinity", needs={"features"}, min_images=4)  # the first point needs two
def fid_infinity(ctx: EvalContext) -> Scores:
    """Between the features of generated images and of all held-out real images."""
    mean, cov = moments(ctx.real.outputs.features)
    rng = np.random.default_rng(ctx.seed)
    return {"fid_infinity": frechet_distance_of_infinity(mean, cov, ctx.fake.outputs.features, rng)}

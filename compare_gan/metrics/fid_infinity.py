"""FID of infinitely many generated images: Chong and Forsyth, https://arxiv.org/abs/1911.07023.

The distance of N images is too great by a term in 1 / N, which hangs on the generator: two generators may
change places with N. Here the distance of fewer and more images is extended to 1 / N = 0 along a line. The
real images stay as many as they are, as there; the latent vectors are drawn as ever, and not from a Sobol
sequence.
"""

import numpy as np

from compare_gan.core.progress import Progress
from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.frechet import distance, factor, moments

POINTS = 15
FEWEST = 5000  # images of the first point, as in the paper; half of all where there are fewer than twice that


def frechet_distance_of_infinity(
    mean: np.ndarray, cov: np.ndarray, fake: np.ndarray, rng: np.random.Generator, points: int = POINTS
) -> float:
    """The distance of a Gaussian and of the law of features [N, F]; by chance it may be below zero.

    Args:
      mean, cov: [F], [F, F] of the real features.
      fake: features of generated images.
      rng: draws the images of each point.
      points: how many distances the line is fitted to.
    """
    root, trace = factor(cov), float(np.trace(cov))
    counts = np.linspace(min(FEWEST, len(fake) // 2), len(fake), points).astype(int)
    progress, found = Progress("fid_infinity", points, unit="distances", show_after_s=5.0), []
    for i, count in enumerate(counts):
        drawn = np.sort(rng.choice(len(fake), count, replace=False))
        found.append(distance(mean, root, trace, *moments(fake[drawn])))
        progress.update(i + 1, {})
    return float(np.polyfit(1 / counts, found, 1)[1])


@metric("fid_infinity", needs={"features"}, fewest=4)  # so that the first point has two
def fid_infinity(ctx: EvalContext) -> Scores:
    """Of the features of generated images, against all held-out real ones."""
    mean, cov = moments(ctx.real.seen.features)
    rng = np.random.default_rng(ctx.seed)
    return {"fid_infinity": frechet_distance_of_infinity(mean, cov, ctx.fake.seen.features, rng)}

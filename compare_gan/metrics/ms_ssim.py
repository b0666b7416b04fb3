"""Multi-scale structural similarity: Wang et al. 2003, https://doi.org/10.1109/ACSSC.2003.1292216.

Among generated images it is a sign of lost diversity: Odena et al., https://arxiv.org/abs/1610.09585.
Images are [N, H, W, C] in 0..255; a first axis of one is repeated where two sets meet.
"""

import functools
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import correlate1d

from compare_gan.metrics.context import EvalContext, Scores, metric

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first
WINDOW, SIGMA = 11, 1.5
GROUPS, GROUP = 5, 64  # of images that are compared with each other, as in compare_gan
MIN_RECOMMENDED_SIZE = 64  # pixels a side; the coarsest of five scales of less has but a few
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

log = logging.getLogger(__name__)


class Scale(NamedTuple):
    """Images at one scale, and the means of them and of their squares in each window."""

    images: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    def part(self, which: slice) -> "Scale":
        return Scale(*(values[which] for values in self))


def ms_ssim(x: np.ndarray, y: np.ndarray, weights: Sequence[float] = WEIGHTS) -> np.ndarray:
    """Similarity [N] of the images in the same places, in [0, 1]; a scale for each weight."""
    return _combined(scales(x, len(weights)), scales(y, len(weights)), weights)


def mean_ms_ssim(images: np.ndarray) -> float:
    """Mean similarity of all pairs of different images; high where a generator repeats itself."""
    pyramid, count = scales(images, len(WEIGHTS)), len(images)
    total = 0.0
    for i in range(count - 1):
        one, others = (
            [scale.part(part) for scale in pyramid] for part in (slice(i, i + 1), slice(i + 1, None))
        )
        total += _combined(one, others, WEIGHTS).sum()
    return float(total / (count * (count - 1) / 2))


def scales(images: np.ndarray, count: int) -> list[Scale]:
    """The images, and `count - 1` times the same at half their size."""
    found: list[Scale] = []
    for _ in range(count):
        images = downsample(found[-1].images) if found else images.astype(np.float64)
        found.append(Scale(images, window_mean(images), window_mean(images**2)))
    return found


def downsample(images: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels; the last row or column of an odd size counts twice."""
    n, h, w, c = images.shape
    even = np.pad(images, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), "edge")
    return even.reshape(n, -(-h // 2), 2, -(-w // 2), 2, c).mean((2, 4))


def window_mean(images: np.ndarray) -> np.ndarray:
    """Means under a Gaussian window wherever it fits; it is never larger than the image."""
    size = min(WINDOW, *images.shape[1:3])
    for axis in (1, 2):
        # The window's middle is at size // 2, so these are the places where it does not fit.
        fits = slice(size // 2, images.shape[axis] - (size - 1) // 2)
        images = correlate1d(images, gaussian(size), axis)[(slice(None),) * axis + (fits,)]
    return images


@functools.cache
def gaussian(size: int) -> np.ndarray:
    """The window along one axis [size], which sums to one."""
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * SIGMA**2))
    return weights / weights.sum()


def ssim(x: Scale, y: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Similarity, and its part that is contrast and structure, each [N, C].

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861.
    """
    product, squares = x.mean * y.mean, x.mean**2 + y.mean**2
    covariance = window_mean(x.images * y.images) - product
    contrast_structure = (2 * covariance + C2) / (x.square + y.square - squares + C2)
    similarity = (2 * product + C1) / (squares + C1) * contrast_structure
    return similarity.mean((1, 2)), contrast_structure.mean((1, 2))


def _combined(x: Sequence[Scale], y: Sequence[Scale], weights: Sequence[float]) -> np.ndarray:
    """Contrast and structure at all scales but the last, whole similarity there."""
    found = [ssim(*pair) for pair in zip(x, y, strict=True)]
    factors = [contrast_structure for _, contrast_structure in found[:-1]] + [found[-1][0]]
    powers = [np.maximum(factor, 0) ** weight for factor, weight in zip(factors, weights, strict=True)]
    return np.prod(powers, axis=0).mean(1)


@metric("ms_ssim", needs={"images"})
def ms_ssim_of(ctx: EvalContext) -> Scores:
    """Mean similarity within some groups of generated images, as in https://arxiv.org/abs/1710.08446.

    Of images below 64 pixels a side it says little.
    """
    h, w = ctx.fake.images.shape[1:3]
    if min(h, w) < MIN_RECOMMENDED_SIZE:
        log.warning(
            "ms_ssim: says little of %dx%d images; it is meant for %d pixels or more",
            h,
            w,
            MIN_RECOMMENDED_SIZE,
        )
    size = min(GROUP, len(ctx.fake.images))
    count = min(GROUPS, len(ctx.fake.images) // size)
    order = np.random.default_rng(ctx.seed).permutation(len(ctx.fake.images))[: count * size]
    groups = np.sort(order.reshape(count, size), axis=1)
    return {"ms_ssim": float(np.mean([mean_ms_ssim(ctx.fake.images[group]) for group in groups]))}

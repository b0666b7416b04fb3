"""Multi-scale structural similarity: Wang et al. 2003, https://doi.org/10.1109/ACSSC.2003.1292216.

High values among generated images indicate low diversity: Odena et al., https://arxiv.org/abs/1610.09585.
Images are [N, H, W, C] in 0..255; a first axis of size 1 is broadcast.
"""

import functools
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

from compare_gan.metrics.context import EvalContext, Scores, metric

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
WINDOW, SIGMA = 11, 1.5
GROUPS, GROUP = 5, 64  # number of groups and images per group, as in compare_gan
MIN_RECOMMENDED_SIZE = 64  # pixels a side; of smaller images, the coarsest scale has only a few pixels
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

log = logging.getLogger(__name__)


class Scale(NamedTuple):
    """Images at one scale, and the local means of the images and of their squares."""

    images: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    def part(self, which: slice) -> "Scale":
        return Scale(*(values[which] for values in self))


def ms_ssim(x: np.ndarray, y: np.ndarray, weights: Sequence[float] = WEIGHTS) -> np.ndarray:
    """Similarity [N] of corresponding images, in [0, 1]; one scale per weight."""
    return _combined(scales(x, len(weights)), scales(y, len(weights)), weights)


def mean_ms_ssim(images: np.ndarray) -> float:
    """Mean similarity over all pairs of distinct images; high for a generator with low diversity."""
    pyramid, count = scales(images, len(WEIGHTS)), len(images)
    total = 0.0
    for i in range(count - 1):
        one, others = (
            [scale.part(part) for scale in pyramid] for part in (slice(i, i + 1), slice(i + 1, None))
        )
        total += _combined(one, others, WEIGHTS).sum()
    return float(total / (count * (count - 1) / 2))


def scales(images: np.ndarray, count: int) -> list[Scale]:
    """An image pyramid with `count` scales, each half the size of the previous one."""
    found: list[Scale] = []
    for _ in range(count):
        images = downsample(found[-1].images) if found else images.astype(np.float64)
        found.append(Scale(images, window_mean(images), window_mean(images**2)))
    return found


def downsample(images: np.ndarray) -> np.ndarray:
    """2x2 average pooling; the last row or column of an odd size is duplicated."""
    n, h, w, c = images.shape
    even = np.pad(images, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), "edge")
    return even.reshape(n, -(-h // 2), 2, -(-w // 2), 2, c).mean((2, 4))


def window_mean(images: np.ndarray) -> np.ndarray:
    """Local means under a Gaussian window at all positions inside the image; the window is cropped to it."""
    size = min(WINDOW, *images.shape[1:3])
    for axis in (1, 2):
        # The centre of the window is at size // 2; drop positions where it exceeds the image.
        fits = slice(size // 2, images.shape[axis] - (size - 1) // 2)
        images = scipy.ndimage.correlate1d(images, gaussian(size), axis)[(slice(None),) * axis + (fits,)]
    return images


@functools.cache
def gaussian(size: int) -> np.ndarray:
    """The window along one axis [size], with sum 1."""
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * SIGMA**2))
    return weights / weights.sum()


def ssim(x: Scale, y: Scale) -> tuple[np.ndarray, np.ndarray]:
    """SSIM, and its contrast-structure term, each [N, C].

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861.
    """
    product, squares = x.mean * y.mean, x.mean**2 + y.mean**2
    covariance = window_mean(x.images * y.images) - product
    contrast_structure = (2 * covariance + C2) / (x.square + y.square - squares + C2)
    similarity = (2 * product + C1) / (squares + C1) * contrast_structure
    return similarity.mean((1, 2)), contrast_structure.mean((1, 2))


def _combined(x: Sequence[Scale], y: Sequence[Scale], weights: Sequence[float]) -> np.ndarray:
    """Product of the contrast-structure terms of all scales but the last, and of SSIM at the last scale."""
    found = [ssim(*pair) for pair in zip(x, y, strict=True)]
    factors = [contrast_structure for _, contrast_structure in found[:-1]] + [found[-1][0]]
    powers = [np.maximum(factor, 0) ** weight for factor, weight in zip(factors, weights, strict=True)]
    return np.prod(powers, axis=0).mean(1)


@metric("ms_ssim", needs={"images"})
def ms_ssim_of(ctx: EvalContext) -> Scores:
    """Mean similarity within groups of generated images, as in https://arxiv.org/abs/1710.08446.

    Not meaningful for images below 64 pixels a side.
    """
    h, w = ctx.fake.images.shape[1:3]
    if min(h, w) < MIN_RECOMMENDED_SIZE:
        log.warning(
            "ms_ssim: not meaningful for %dx%d images; it needs %d pixels a side or more",
            h,
            w,
            MIN_RECOMMENDED_SIZE,
        )
    size = min(GROUP, len(ctx.fake.images))
    count = min(GROUPS, len(ctx.fake.images) // size)
    order = np.random.default_rng(ctx.seed).permutation(len(ctx.fake.images))[: count * size]
    groups = np.sort(order.reshape(count, size), axis=1)
    return {"ms_ssim": float(np.mean([mean_ms_ssim(ctx.fake.images[group]) for group in groups]))}

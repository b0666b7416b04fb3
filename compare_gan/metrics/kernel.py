"""Kernel distance of two sets of features, KID: Binkowski et al., https://arxiv.org/abs/1801.01401.

Shape letters: N, M samples; F features.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.metrics.context import EvalContext, Scores, metric

MIN_BLOCKS = 5  # required for a standard error
BLOCK = 1024  # maximum number of samples of the larger set per block


class KernelDistance(NamedTuple):
    """A mean over blocks of samples and its standard error, None if there are too few blocks."""

    mean: float
    standard_error: float | None


def kernel_distance(real: np.ndarray, fake: np.ndarray, max_block_size: int = BLOCK) -> KernelDistance:
    """Squared maximum mean discrepancy of [N, F] and [M, F]; unbiased, so it may be negative.

    The samples must be in random order: they are split into blocks of at most `max_block_size`, and the
    estimates of the blocks are averaged (Zaremba et al., https://arxiv.org/abs/1307.1954).

    Raises:
      UserError: a block would have fewer than two samples of either kind.
    """
    estimates = [squared_discrepancy(x, y) for x, y in pairs_of_blocks(real, fake, max_block_size)]
    count = len(estimates)
    # Divided by count, not count - 1, as in compare_gan: 10% too small for five blocks.
    error = float(np.std(estimates) / math.sqrt(count)) if count >= MIN_BLOCKS else None
    return KernelDistance(float(np.mean(estimates)), error)


def pairs_of_blocks(
    real: np.ndarray, fake: np.ndarray, max_block_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of corresponding blocks of both sets, in float64.

    Raises:
      UserError: a block would have fewer than two samples of either kind.
    """
    count = math.ceil(max(len(real), len(fake)) / max_block_size)
    if min(len(real), len(fake)) < 2 * count:
        raise UserError(
            f"kernel distance of {len(real)} real and {len(fake)} generated samples in {count} blocks: "
            "each block needs two of each; give more samples or larger blocks"
        )
    for x, y in zip(blocks(real, count), blocks(fake, count), strict=True):
        yield x.astype(np.float64), y.astype(np.float64)


def blocks(samples: np.ndarray, count: int) -> list[np.ndarray]:
    """Splits into `count` consecutive blocks whose sizes differ by at most one, smaller blocks first."""
    size, larger = divmod(len(samples), count)
    sizes = np.full(count, size) + (np.arange(count) >= count - larger)
    return np.split(samples, np.cumsum(sizes)[:-1])


def squared_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of squared MMD for one block."""
    return mean_over_pairs(x) + mean_over_pairs(y) - 2 * polynomial_kernel(x, y).mean()


def mean_over_pairs(x: np.ndarray) -> float:
    """Mean kernel over pairs of distinct samples."""
    k, n = polynomial_kernel(x, x), len(x)
    return (k.sum() - np.trace(k)) / (n * (n - 1))


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x . y / F + 1)^3 for all pairs, [N, M]."""
    k = x @ y.T / x.shape[1] + 1
    return k * k * k  # many times faster than k**3


def min_images(larger: int) -> int:
    """Minimum size of the smaller set: two samples per block of the larger set."""
    return 2 * max(1, math.ceil(larger / BLOCK))


@metric("kid_score", needs={"features"}, min_images=min_images)
def kid_score(ctx: EvalContext) -> Scores:
    """Between the features of held-out real images and of generated ones."""
    return {"kid_score": kernel_distance(*shuffled_features(ctx)).mean}


def shuffled_features(ctx: EvalContext) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled features of real and of generated images, so that blocks mix classes."""
    rng = np.random.default_rng(ctx.seed)
    real, fake = (rng.permutation(images.outputs.features) for images in (ctx.real, ctx.fake))
    return real, fake

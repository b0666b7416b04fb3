"""Confidence intervals of means over a few runs, and of differences between two groups of runs.

They are Student's t intervals: runs are assumed independent and normally distributed.
"""

import math
import statistics
from collections.abc import Sequence

import scipy

LEVEL = 0.95

Interval = tuple[float, float]


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The t interval of a mean of independent values.

    None for fewer than two values, or if all are equal, which gives no estimate of the variance.
    """
    if len(set(values)) < 2:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return _around(statistics.fmean(values), error, len(values) - 1, level)


def difference_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Welch's interval of mean(a) - mean(b), for independent groups with unequal variances.

    None if a group has fewer than two values, or if both have zero variance.
    """
    if min(len(a), len(b)) < 2:
        return None
    variances = [statistics.variance(values) / len(values) for values in (a, b)]
    total = sum(variances)
    if total == 0:
        return None
    shares = [v**2 / (len(values) - 1) for v, values in zip(variances, (a, b), strict=True)]
    difference = statistics.fmean(a) - statistics.fmean(b)
    return _around(difference, math.sqrt(total), total**2 / sum(shares), level)


def decimals(values: Sequence[float]) -> int:
    """The number of decimals (at most 4) that shows three digits of the smallest nonzero value."""
    smallest = min((abs(v) for v in values if v), default=1.0)
    return min(4, max(0, 2 - math.floor(math.log10(smallest))))


def _around(middle: float, error: float, freedom: float, level: float) -> Interval:
    half = error * float(scipy.special.stdtrit(freedom, 0.5 + level / 2))
    return middle - half, middle + half

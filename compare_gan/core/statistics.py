"""Confidence intervals of means over a few runs, and of ratios of the means of two groups of runs.

They use Student's t distribution: runs, or pairs of runs, are assumed independent and normally distributed.
"""

import math
import statistics
from collections.abc import Sequence

import scipy

LEVEL = 0.95
MARGIN = 0.1  # a distance is as good as another one if it is less than 1 + MARGIN times as large
ITERATIONS = 50

Interval = tuple[float, float]


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The t interval of a mean of independent values.

    None for fewer than two values, or if all are equal, which gives no estimate of the variance.
    """
    if len(set(values)) < 2:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return _around(statistics.fmean(values), error, len(values) - 1, level)


def ratio_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Fieller's interval of mean(a) / mean(b) for independent groups, with Welch's degrees of freedom.

    A number r is in it if Welch's test does not reject that mean(a) is r times mean(b). None if a group
    has fewer than two values, if both have zero variance, or if mean(b) may be zero.
    """
    if min(len(a), len(b)) < 2:
        return None
    means = statistics.fmean(a), statistics.fmean(b)
    variances = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    if not any(variances) or not means[1]:
        return None
    ends = []
    for side in (0, 1):
        end = means[0] / means[1]
        for _ in range(ITERATIONS):  # the degrees of freedom are those at the end itself
            parts = variances[0], end**2 * variances[1]  # of mean(a) - end * mean(b)
            shares = [v**2 / (len(values) - 1) for v, values in zip(parts, (a, b), strict=True)]
            freedom = sum(parts) ** 2 / sum(shares) if sum(shares) else min(len(a), len(b)) - 1
            if (found := _fieller(means, variances, 0.0, freedom, level)) is None:
                return None
            end = found[side]
        ends.append(end)
    return ends[0], ends[1]


def paired_ratio_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Fieller's interval of mean(a) / mean(b) for pairs of values that may be correlated.

    A number r is in it if a t test does not reject that the mean of a - r b is zero. None for fewer than two
    pairs, without variance, or if mean(b) may be zero.
    """
    if len(a) < 2:
        return None
    variances = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    if not any(variances):
        return None
    means = statistics.fmean(a), statistics.fmean(b)
    return _fieller(means, variances, statistics.covariance(a, b) / len(a), len(a) - 1, level)


def decimals(values: Sequence[float]) -> int:
    """The number of decimals (at most 4) that shows three digits of the smallest nonzero value."""
    smallest = min((abs(v) for v in values if v), default=1.0)
    return min(4, max(0, 2 - math.floor(math.log10(smallest))))


def _fieller(
    means: tuple[float, float],
    variances: tuple[float, float],
    covariance: float,
    freedom: float,
    level: float,
) -> Interval | None:
    """The ratios r for which (m1 - r m2)^2 <= t^2 (v1 - 2 r c + r^2 v2), if they are an interval.

    Fieller, Some problems in interval estimation, 1954. Variances and covariance are those of the means.
    """
    t2 = float(scipy.special.stdtrit(freedom, 0.5 + level / 2)) ** 2
    square = means[1] ** 2 - t2 * variances[1]
    if square <= 0:
        return None
    linear = means[0] * means[1] - t2 * covariance
    root = math.sqrt(max(0.0, linear**2 - square * (means[0] ** 2 - t2 * variances[0])))
    return (linear - root) / square, (linear + root) / square


def _around(middle: float, error: float, freedom: float, level: float) -> Interval:
    half = error * float(scipy.special.stdtrit(freedom, 0.5 + level / 2))
    return middle - half, middle + half

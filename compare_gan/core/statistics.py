"""Means over a few runs, differences between two groups of runs, and how uncertain both are.

Intervals are those of Student's t: runs are taken as independent draws from a normal distribution.
"""

import math
import statistics
from collections.abc import Sequence

from scipy import special

LEVEL = 0.95

Interval = tuple[float, float]


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The t interval of a mean of independent values.

    None for fewer than two values, or for equal ones, which say nothing of their spread.
    """
    if len(set(values)) < 2:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return _around(statistics.fmean(values), error, len(values) - 1, level)


def difference_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Welch's interval of mean(a) - mean(b), for groups that neither share runs nor a variance.

    None where a group has fewer than two values, or the values of both are equal, which say nothing of their
    spread.
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
    """Enough of them for the smallest of the values to show three digits, and four at most."""
    smallest = min((abs(v) for v in values if v), default=1.0)
    return min(4, max(0, 2 - math.floor(math.log10(smallest))))


def _around(middle: float, error: float, freedom: float, level: float) -> Interval:
    half = error * float(special.stdtrit(freedom, 0.5 + level / 2))
    return middle - half, middle + half

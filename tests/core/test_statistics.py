"""Intervals equal SciPy's; too few values have none."""

import numpy as np
import pytest
from scipy import stats

from compare_gan.core.statistics import decimals, difference_interval, mean_interval


@pytest.mark.parametrize("counts", [(2, 2), (8, 3), (3, 40)])
def test_intervals_equal_scipys(counts):
    rng = np.random.default_rng(sum(counts))
    a, b = (rng.normal(k, 1 + 3 * k, n).tolist() for k, n in enumerate(counts))
    mean = stats.t.interval(0.95, len(a) - 1, np.mean(a), stats.sem(a))
    assert mean_interval(a) == pytest.approx(mean)
    assert mean_interval(a, 0.8)[0] > mean[0]
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert difference_interval(a, b) == pytest.approx((welch.low, welch.high))
    low, high = difference_interval(b, a)
    assert (-high, -low) == pytest.approx((welch.low, welch.high))


def test_the_interval_covers_the_true_difference_at_its_level():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        low, high = difference_interval(rng.normal(1, 1, 8).tolist(), rng.normal(0, 3, 5).tolist())
        covered += low < 1 < high
    assert covered / 2000 == pytest.approx(0.95, abs=0.02)  # four standard errors


def test_too_few_values_have_no_interval():
    assert mean_interval([1.0]) is None and mean_interval([]) is None and mean_interval([1.0, 1.0]) is None
    assert difference_interval([1.0, 2.0], [1.0]) is None
    assert difference_interval([1.0, 1.0], [2.0, 2.0]) is None  # nothing is known of the spread
    low, high = difference_interval([1.0, 1.0], [2.0, 2.5])
    assert low < -1.25 < high


def test_decimals():
    assert [decimals([v]) for v in (123.4, 12.3, 1.23, 0.123, 0.00012, 0)] == [0, 1, 2, 3, 4, 2]

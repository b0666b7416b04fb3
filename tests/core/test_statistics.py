"""Intervals are those of SciPy's tests; too few values have none."""

import numpy as np
import pytest
from scipy import stats

from compare_gan.core.statistics import decimals, mean_interval, paired_ratio_interval, ratio_interval


@pytest.mark.parametrize("count", [2, 8, 40])
def test_the_interval_of_a_mean_equals_scipys(count):
    a = np.random.default_rng(count).normal(0, 2, count).tolist()
    mean = stats.t.interval(0.95, len(a) - 1, np.mean(a), stats.sem(a))
    assert mean_interval(a) == pytest.approx(mean)
    assert mean_interval(a, 0.8)[0] > mean[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_paired_ratio_at_an_end_of_its_interval_is_just_not_rejected(seed):
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.1, 7)
    a, b = 0.8 + common + rng.normal(0, 0.05, 7), 1.0 + common + rng.normal(0, 0.05, 7)
    ends = paired_ratio_interval(a.tolist(), b.tolist())
    for end in ends:
        assert stats.ttest_1samp(a - end * b, 0).pvalue == pytest.approx(0.05)
    assert ends[0] < a.mean() / b.mean() < ends[1]
    shuffled = paired_ratio_interval(a.tolist(), np.roll(b, 3).tolist())
    assert ends[1] - ends[0] < shuffled[1] - shuffled[0]  # the correlation is used
    narrower = paired_ratio_interval(a.tolist(), b.tolist(), 0.8)
    assert ends[0] < narrower[0] < narrower[1] < ends[1]


@pytest.mark.parametrize("counts", [(3, 3), (8, 4), (6, 20)])
def test_a_ratio_at_an_end_of_its_interval_is_just_not_rejected(counts):
    """By Welch's test."""
    rng = np.random.default_rng(sum(counts))
    a, b = rng.normal(0.8, 0.05, counts[0]), rng.normal(1.0, 0.08, counts[1])
    for end in ratio_interval(a.tolist(), b.tolist()):
        assert stats.ttest_ind(a, end * b, equal_var=False).pvalue == pytest.approx(0.05, abs=1e-6)


def test_intervals_of_ratios_cover_the_true_ratio_at_their_level():
    rng = np.random.default_rng(0)
    covered = {ratio_interval: 0, paired_ratio_interval: 0}
    for _ in range(2000):
        a, b = rng.normal(2, 0.3, 6).tolist(), rng.normal(1, 0.05, 6).tolist()
        for interval in covered:
            low, high = interval(a, b)
            covered[interval] += low < 2 < high
    for count in covered.values():
        assert count / 2000 == pytest.approx(0.95, abs=0.02)  # four standard errors


def test_the_ratio_interval_agrees_with_the_bootstrap():
    """For many runs, where both are nearly exact."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.9, 0.2, 200), rng.normal(1.0, 0.2, 200)
    found = stats.bootstrap(
        (a, b), lambda x, y, axis: x.mean(axis) / y.mean(axis), n_resamples=4000, vectorized=True, rng=rng
    ).confidence_interval
    assert ratio_interval(a.tolist(), b.tolist()) == pytest.approx((found.low, found.high), abs=0.004)


def test_too_few_values_have_no_interval():
    assert mean_interval([1.0]) is None and mean_interval([]) is None and mean_interval([1.0, 1.0]) is None
    for interval in (ratio_interval, paired_ratio_interval):
        assert interval([1.0], [1.0]) is None
        assert interval([1.0, 1.0], [2.0, 2.0]) is None  # nothing is known of the spread
        assert interval([1.0, 1.1], [0.1, 2.0]) is None  # the divisor may be zero
        low, high = interval([1.0, 1.1], [2.0, 2.01])
        assert low < 0.52 < high
    low, high = ratio_interval([1.0, 1.0, 1.0], [2.0, 2.1, 2.2])
    assert low < 1 / 2.1 < high


def test_decimals():
    assert [decimals([v]) for v in (123.4, 12.3, 1.23, 0.123, 0.00012, 0)] == [0, 1, 2, 3, 4, 2]

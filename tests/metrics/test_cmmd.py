"""CMMD by its definition; other libraries' values are in test_references."""

import numpy as np
import pytest

from compare_gan.metrics.cmmd import gaussian_discrepancy, unit_rows


def samples(seed, n, dim=8, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, dim))


def by_definition(x, y):
    """By explicit sums over all pairs of normalised samples."""
    x, y = ([row / np.sqrt((row * row).sum()) for row in rows] for rows in (x, y))

    def mean(one, other):
        return np.mean([np.exp(-((a - b) ** 2).sum() / 200) for a in one for b in other])

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def test_agrees_with_the_definition_for_unequal_numbers():
    x, y = samples(0, 15), samples(1, 9, shift=0.5)
    assert gaussian_discrepancy(x, y) == pytest.approx(by_definition(x, y), rel=1e-9)


def test_blocks_do_not_change_it(monkeypatch):
    x, y = samples(0, 50), samples(1, 40, shift=0.5)
    expected = gaussian_discrepancy(x, y)
    monkeypatch.setattr("compare_gan.metrics.prdc.BLOCK", 7)
    assert gaussian_discrepancy(x, y) == pytest.approx(expected, rel=1e-12)


def test_is_zero_for_equal_sets_in_any_order_and_at_any_scale():
    x = samples(0, 30)
    assert gaussian_discrepancy(x, 3 * x[::-1]) == pytest.approx(0, abs=1e-11)


def test_is_about_ten_times_the_squared_distance_of_means():
    x, y = samples(0, 200), samples(1, 200, shift=0.3)
    gap = unit_rows(x).mean(0) - unit_rows(y).mean(0)
    assert gaussian_discrepancy(x, y) == pytest.approx(10 * gap @ gap, rel=0.03)


def test_integers_and_rows_of_zeros():
    x = np.array([[0, 0], [3, 4]])
    np.testing.assert_allclose(unit_rows(x), [[0, 0], [0.6, 0.8]])

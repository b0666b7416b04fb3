"""NDB against SciPy's chi-squared test, and where nothing differs."""

import numpy as np
import pytest
import scipy.stats

from compare_gan.metrics.ndb import bin_counts, different_bins, jensen_shannon


def test_a_bin_differs_if_the_chi_squared_test_says_so():
    """Of a table of two rows and columns, without correction, it is the square of the z-test."""
    rng = np.random.default_rng(0)
    real, fake = rng.integers(1, 60, (2, 40))
    n, m = real.sum(), fake.sum()
    expected = [
        scipy.stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False).pvalue < 0.05
        for a, b in zip(real, fake, strict=True)
    ]
    assert different_bins(real, fake).tolist() == expected and 0 < np.mean(expected) < 1


def test_empty_bins_do_not_differ():
    assert different_bins(np.array([0, 5]), np.array([0, 9])).tolist() == [False, False]


def test_without_difference_the_fraction_is_about_the_level():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(20) * 5)
    found = [different_bins(*(rng.multinomial(2000, shares) for _ in range(2))).mean() for _ in range(200)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.01)


def test_a_missing_mode_empties_its_bins():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(center, 0.1, (200, 2)) for center in (0, 5, 10, 15)])
    counts = bin_counts(real, real[200:], bins=4, seed=0)
    assert sorted(counts[0]) == [200] * 4 and sorted(counts[1]) == [0, 200, 200, 200]
    assert different_bins(*counts).all()
    mixture = [1 / 8, 7 / 24, 7 / 24, 7 / 24]  # of shares 1/4 each, and 0 and 1/3
    expected = scipy.stats.entropy(mixture) - (np.log(4) + np.log(3)) / 2
    assert jensen_shannon(*counts) == pytest.approx(expected)

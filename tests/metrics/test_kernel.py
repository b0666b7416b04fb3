"""The kernel distance by its definition, and unbiased."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.metrics.kernel import blocks, kernel_distance


def samples(seed, n=40, dim=6, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, dim))


def by_definition(x, y):
    """By explicit sums over pairs."""

    def k(a, b):
        return (np.dot(a, b) / len(a) + 1) ** 3

    within = [np.mean([k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    return sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])


def test_agrees_with_the_definition_for_unequal_numbers():
    x, y = samples(0, 15), samples(1, 9, shift=0.5)
    found = kernel_distance(x, y)
    assert found.mean == pytest.approx(by_definition(x, y), rel=1e-12)
    assert found.standard_error is None


def test_blocks_are_averaged():
    x, y = samples(0, 32), samples(1, 20, shift=0.5)
    found = kernel_distance(x, y, max_block_size=7)
    sizes = [(6, 4), (6, 4), (6, 4), (7, 4), (7, 4)]
    starts = np.cumsum([(0, 0), *sizes], axis=0)
    parts = [by_definition(x[i : i + n], y[j : j + m]) for (i, j), (n, m) in zip(starts, sizes, strict=False)]
    assert found.mean == pytest.approx(np.mean(parts), rel=1e-12)
    assert found.standard_error == pytest.approx(np.std(parts) / np.sqrt(5), rel=1e-12)


def test_smaller_blocks_come_first():
    assert [len(block) for block in blocks(samples(0, 11), 4)] == [2, 3, 3, 3]


def test_is_zero_on_average_for_equal_distributions():
    estimates = [kernel_distance(samples(seed), samples(seed + 1000)).mean for seed in range(300)]
    assert abs(np.mean(estimates)) < 3 * np.std(estimates) / np.sqrt(300)
    assert min(estimates) < 0


def test_too_few_samples_for_the_blocks():
    with pytest.raises(UserError, match="5 real and 40 generated samples in 4 blocks"):
        kernel_distance(samples(0, 5), samples(1), max_block_size=10)

"""Coverage of bootstrap intervals."""

import numpy as np
import pytest

from compare_gan.metrics.bootstrap import (
    bootstrap_indices,
    frechet_replicates,
    gaussian_replicates,
    interval,
    kernel_replicates,
    sliced_replicates,
)
from compare_gan.metrics.cmmd import gaussian_discrepancy
from compare_gan.metrics.frechet import frechet_distance, moments
from compare_gan.metrics.kernel import kernel_distance
from compare_gan.metrics.mind import random_directions, sliced_distance


def draws(count, n, dim):
    for seed in range(count):
        rng = np.random.default_rng(seed)
        yield rng, rng.normal(0, 1, (n, dim)), rng.normal(0.3, 1.2, (n, dim))


def share_within(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


def test_coverage_for_the_frechet_distance():
    scores, intervals = [], []
    for rng, real, fake in draws(100, 150, 3):
        scores.append(frechet_distance(*moments(real), *moments(fake)))
        intervals.append(interval(scores[-1], frechet_replicates(real, fake, rng, 40)))
    assert 0.85 <= share_within(intervals, np.mean(scores)) <= 1
    widths = np.array([high - low for low, high in intervals])
    assert np.median(widths) < 2 * (np.quantile(scores, 0.975) - np.quantile(scores, 0.025))


def test_coverage_for_the_kernel_distance():
    scores, intervals = [], []
    for rng, real, fake in draws(200, 80, 3):
        scores.append(kernel_distance(real, fake, 30).mean)
        intervals.append(interval(scores[-1], kernel_replicates(real, fake, rng, 200, 30)))
    assert 0.88 <= share_within(intervals, np.mean(scores)) <= 1


def test_coverage_for_the_gaussian_kernel():
    scores, intervals = [], []
    for rng, real, fake in draws(100, 80, 3):
        scores.append(gaussian_discrepancy(real, fake))
        intervals.append(interval(scores[-1], gaussian_replicates(real, fake, rng)))
    assert 0.85 <= share_within(intervals, np.mean(scores)) <= 1


def test_coverage_for_the_sliced_distance():
    scores, intervals, directions = [], [], random_directions(6, 3, np.random.default_rng(0))
    for rng, real, fake in draws(100, 80, 3):
        scores.append(sliced_distance(real, fake, directions))
        intervals.append(interval(scores[-1], sliced_replicates(real, fake, directions, rng)))
    assert 0.85 <= share_within(intervals, np.mean(scores)) <= 1


class Drawn:
    """Draws the samples of given indices in every replicate."""

    def __init__(self, *indices):
        self.indices = list(indices)

    def multinomial(self, n, p, size):
        return np.tile(np.bincount(self.indices.pop(0), minlength=n), (size, 1))


def test_replicates_are_distances_of_the_resampled_sets():
    rng = np.random.default_rng(0)
    real, fake, directions = rng.normal(size=(30, 4)), rng.normal(size=(30, 4)), random_directions(60, 4, rng)
    i, j = rng.integers(30, size=(2, 30))
    expected = gaussian_discrepancy(real[i], fake[j])
    assert gaussian_replicates(real, fake, Drawn(i, j), 2) == pytest.approx([expected] * 2, rel=1e-9)
    expected = sliced_distance(real[i], fake[j], directions)
    assert sliced_replicates(real, fake, directions, Drawn(i, j), 2) == pytest.approx([expected] * 2)


def test_kernel_replicates_are_distances_of_the_resampled_sets():
    """With each sample drawn once, this is the distance itself."""

    class Once:
        def multinomial(self, n, p, size):
            return np.ones((size, n), int)

    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(20, 3)), rng.normal(size=(15, 3))
    assert kernel_replicates(real, fake, Once(), 2) == pytest.approx([kernel_distance(real, fake).mean] * 2)


def test_an_interval_is_around_the_score():
    replicates = np.arange(101.0) + 1000
    assert interval(7.0, replicates, level=0.5) == pytest.approx((7 - 25.5, 7 + 25.5))


def test_resampling_keeps_class_frequencies():
    labels = np.repeat([2, -1, 0], [5, 3, 30])
    drawn = labels[bootstrap_indices(len(labels), labels, np.random.default_rng(0))]
    assert {value: int((drawn == value).sum()) for value in (2, -1, 0)} == {2: 5, -1: 3, 0: 30}


def test_stratified_resampling_gives_narrower_intervals():
    """With two distant classes, most of the variance is in the class frequencies."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    real, fake = (20 * labels[:, None] + rng.normal(size=(60, 2)) for _ in range(2))
    plain = frechet_replicates(real, fake, rng, 40)
    kept = frechet_replicates(real, fake, rng, 40, labels, labels)
    assert kept.std() < plain.std() / 3

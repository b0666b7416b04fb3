"""MIND against one-dimensional optimal transport and closed forms; torch-fidelity's values are in
test_references."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from compare_gan.metrics.mind import random_directions, sliced_distance


def samples(seed, n, dim=6, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (n, dim))


def test_agrees_with_the_best_assignment_of_projections():
    x, y = samples(0, 20), samples(1, 20, shift=0.5)
    directions = random_directions(60, 6, np.random.default_rng(0))  # more than a block
    costs = [(x @ u)[:, None] - y @ u for u in directions]
    best = [np.mean(cost[linear_sum_assignment(cost**2)] ** 2) for cost in costs]
    assert sliced_distance(x, y, directions) == pytest.approx(3 * 6 * np.mean(best), rel=1e-12)


def test_of_shifted_and_of_scaled_gaussians():
    """3 |shift|^2, and 3 F (s - t)^2: three times the Frechet distances."""
    directions = random_directions(500, 6, np.random.default_rng(0))
    x = samples(0, 4000)
    shift = np.arange(6.0)
    assert sliced_distance(x, x + shift, directions) == pytest.approx(3 * shift @ shift, rel=0.1)
    assert sliced_distance(x, samples(1, 4000, scale=2.0), directions) == pytest.approx(3 * 6, rel=0.05)


def test_directions_are_unit_vectors_without_a_preferred_one():
    directions = random_directions(5000, 3, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.T @ directions / 5000, np.eye(3) / 3, atol=0.02)

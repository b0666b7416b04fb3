"""FID extrapolated to infinitely many samples, for known distributions."""

import numpy as np
import pytest

from compare_gan.metrics.fid_infinity import frechet_distance_of_infinity
from compare_gan.metrics.frechet import frechet_distance, moments

DIM = 12


def test_has_no_bias_for_few_samples():
    shift, scale = 0.1, 1.2
    truth = DIM * (shift**2 + (scale - 1) ** 2)
    finite, infinite = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        fake = rng.normal(shift, scale, (400, DIM))
        finite.append(frechet_distance(np.zeros(DIM), np.eye(DIM), *moments(fake)))
        infinite.append(frechet_distance_of_infinity(np.zeros(DIM), np.eye(DIM), fake, rng))
    error = np.std(infinite) / np.sqrt(60)
    assert np.mean(finite) - truth > 10 * np.std(finite) / np.sqrt(60)
    assert np.mean(infinite) == pytest.approx(truth, abs=3 * error)
    assert abs(np.mean(infinite) - truth) < 0.1 * (np.mean(finite) - truth)


def test_the_line_includes_all_samples(monkeypatch):
    fake = np.random.default_rng(0).normal(size=(40, 3))
    distances = iter([5.0, 4.0])
    monkeypatch.setattr("compare_gan.metrics.fid_infinity.distance", lambda *given: next(distances))
    found = frechet_distance_of_infinity(np.zeros(3), np.eye(3), fake, np.random.default_rng(0), points=2)
    assert found == pytest.approx(3.0)  # through (1/20, 5) and (1/40, 4)

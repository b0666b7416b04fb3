"""Precision and recall of histograms whose curve is known, and of features."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.prd import Curve, best_f_betas, curve, curve_of_features, f_beta, histograms, prd

EVEN = np.full(4, 0.25)


def test_equal_histograms_have_full_precision_and_recall():
    points = curve(EVEN, EVEN)
    np.testing.assert_allclose(np.maximum(*points), 1, rtol=1e-12)
    assert best_f_betas(points) == pytest.approx((1, 1), abs=1e-9)


def test_disjoint_histograms_have_none():
    points = curve(np.array([1.0, 0]), np.array([0, 1.0]))
    np.testing.assert_array_equal(points, 0)
    assert best_f_betas(points) == (0, 0)


def test_half_of_the_modes():
    """All samples are realistic, but half of the modes are missing: precision up to 1, recall up to 1/2."""
    points = curve(np.array([0.5, 0.5, 0, 0]), EVEN)
    slopes = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 1001))
    np.testing.assert_allclose(points.precision, np.minimum(1, slopes / 2))
    np.testing.assert_allclose(points.recall, np.minimum(1 / slopes, 1 / 2))


def test_swapping_the_sets_swaps_precision_and_recall():
    p, q = np.random.default_rng(0).dirichlet(np.ones(10), 2)
    forward, backward = curve(p, q), curve(q, p)
    np.testing.assert_allclose(forward.precision, backward.recall[::-1], atol=1e-9)
    assert best_f_betas(forward, 8) == pytest.approx(best_f_betas(backward, 8)[::-1], abs=1e-6)


def test_never_leaves_the_unit_square():
    for seed in range(50):
        p, q = np.random.default_rng(seed).dirichlet(np.ones(20), 2)
        assert 0 <= np.min(curve(p, q)) and np.max(curve(p, q)) <= 1


def test_f_score_is_a_weighted_harmonic_mean():
    points = Curve(np.array([0.5, 0.8]), np.array([0.9, 0.3]))
    expected = 1 / (0.8 / points.recall + 0.2 / points.precision)
    np.testing.assert_allclose(f_beta(points, 2), expected, rtol=1e-9)


def blobs(seed, modes, n=60):
    rng = np.random.default_rng(seed)
    return 20 * rng.choice(modes, n)[:, None] + rng.normal(size=(n, 3))


def test_features_with_missing_modes():
    real, fake = blobs(0, 6), blobs(1, 3)
    recall, precision = best_f_betas(curve_of_features(fake, real, clusters=6, runs=2))
    assert recall < 0.7 and precision > 0.9
    same = curve_of_features(real, real, clusters=6, runs=1)
    assert best_f_betas(same) == pytest.approx((1, 1), abs=1e-6)


def test_histograms_sum_to_one_and_depend_on_the_seed():
    first, again = (histograms(blobs(1, 3), blobs(0, 6), 5, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.sum(first, axis=1), 1)


def test_unequal_numbers_are_refused():
    with pytest.raises(UserError, match="10 generated and 12 real"):
        curve_of_features(blobs(0, 2, 10), blobs(1, 2, 12))


def test_real_images_sorted_by_class_do_not_change_the_score_of_a_perfect_generator():
    """The first half of sorted real images has only half of the classes: precision would be at most 1/2."""
    rng = np.random.default_rng(0)
    modes = 20 * np.eye(4)
    real = np.repeat(modes, 60, axis=0) + rng.normal(size=(240, 4))
    fake = np.tile(modes, (30, 1)) + rng.normal(size=(120, 4))
    found = prd(EvalContext(ImageSet.of_features(real), ImageSet.of_features(fake)))
    assert min(found.values()) > 0.85

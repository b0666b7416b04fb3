"""Structural similarity by its definition, and its properties."""

import numpy as np
import pytest
import scipy.signal

from compare_gan.metrics.ms_ssim import WEIGHTS, downsample, gaussian, mean_ms_ssim, ms_ssim, scales, ssim


def images(seed, n=3, h=32, w=32, c=2):
    return np.random.default_rng(seed).uniform(0, 255, (n, h, w, c))


def by_definition(x, y, size):
    """SSIM and its contrast-structure term of two planes, from weighted moments in each window."""
    line = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values):
        return scipy.signal.correlate2d(values, window, "valid")

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 2.55**2, 7.65**2
    cs = (2 * cov + c2) / (vx + vy + c2)
    return np.mean((2 * mx * my + c1) / (mx**2 + my**2 + c1) * cs), cs.mean()


@pytest.mark.parametrize("h, w", [(32, 20), (8, 13), (4, 4), (1, 3)])
def test_one_scale_agrees_with_the_definition(h, w):
    x, y = images(0, h=h, w=w), images(1, h=h, w=w)
    y = 0.7 * x + 0.3 * y
    found = ssim(scales(x, 1)[0], scales(y, 1)[0])
    expected = [
        [by_definition(x[i, ..., j], y[i, ..., j], min(11, h, w)) for j in range(2)] for i in range(3)
    ]
    np.testing.assert_allclose(np.stack(found, axis=-1), expected, rtol=1e-9)


def test_scales_are_weighted_as_powers():
    x, y = images(0), images(1)
    y = 0.7 * x + 0.3 * y
    expected = np.ones((3, 2))
    for weight, last in ((0.4, False), (0.6, True)):
        similarity, contrast_structure = ssim(scales(x, 1)[0], scales(y, 1)[0])
        expected *= (similarity if last else contrast_structure) ** weight
        x, y = downsample(x), downsample(y)
    found = ms_ssim(images(0), 0.7 * images(0) + 0.3 * images(1), (0.4, 0.6))
    np.testing.assert_allclose(found, expected.mean(1), rtol=1e-12)


def test_equal_images_have_similarity_one():
    np.testing.assert_allclose(ms_ssim(images(0, h=45, w=31), images(0, h=45, w=31)), 1)
    assert mean_ms_ssim(np.repeat(images(0, n=1), 4, axis=0)) == pytest.approx(1)


def test_opposite_images_are_dissimilar():
    np.testing.assert_array_equal(ms_ssim(images(0), 255 - images(0)), 0)


def test_mean_is_over_all_pairs_in_either_order():
    x = np.clip(images(0, n=1) + images(1, n=4) / 4, 0, 255).astype(np.uint8)
    pairs = [ms_ssim(x[i : i + 1], x[j : j + 1])[0] for i in range(4) for j in range(4) if i != j]
    assert mean_ms_ssim(x) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_an_odd_row_is_duplicated():
    image = np.array([[0.0, 2], [4, 6], [8, 10]]).reshape(1, 3, 2, 1)
    np.testing.assert_array_equal(downsample(image).ravel(), [3, 9])


def test_windows_sum_to_one():
    assert [gaussian(size).sum() for size in (1, 2, 11)] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (WEIGHTS, [0.9604329466794, 0.9575791907938]),
        ((1,) * 5, [0.7318457869807, 0.708727746408]),
    ],
)
def test_odd_sizes_agree_with_compare_gan_in_double_precision(weights, expected):
    """Its own function, run in float64 under TensorFlow 1.15.5; in float32 it is off by up to 4e-5."""
    x = np.random.RandomState(33).uniform(0, 255, size=(4, 33, 33, 3))
    for _ in range(3):
        x = (x + np.roll(x, 1, 1) + np.roll(x, 1, 2) + np.roll(x, (1, 1), (1, 2))) / 4
    x = x.astype(np.float32)
    noise = 12 * np.random.RandomState(1).standard_normal(x.shape)
    y = np.clip(x + noise, 0, 255).astype(np.float32)
    np.testing.assert_allclose(ms_ssim(x, y, weights)[:2], expected, rtol=1e-11)

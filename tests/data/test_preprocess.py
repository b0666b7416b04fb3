"""compare_gan's preprocessing, against TensorFlow 1's rules computed by hand."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data.fit import CropResize
from compare_gan.data.preprocess import (
    CROPS,
    EvalImagenetTransform,
    TrainImagenetTransform,
    celeb_a,
    crop_or_pad,
    imagenet,
    lsun,
    resized,
    scaled,
)


def picture(h, w, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def numbered(h, w):
    """An image whose pixels store their row and column."""
    return np.stack([*np.indices((h, w)), np.ones((h, w))], axis=2).astype(np.uint8)


def test_resizing_starts_at_the_first_pixel_and_repeats_the_last():
    row = np.array([0, 30, 60], np.float32).reshape(1, 3, 1)
    found = resized(np.repeat(row, 3, axis=0), 6)
    np.testing.assert_allclose(found[0, :, 0], [0, 15, 30, 45, 60, 60])


def test_shrinking_interpolates_two_pixels_at_most():
    plane = np.add.outer(np.arange(9.0), 10 * np.arange(9.0)).astype(np.float32)[:, :, None]
    found = resized(plane, 4)[:, :, 0]
    at = np.arange(4) * 9 / 4
    np.testing.assert_allclose(found, np.add.outer(at, 10 * at), rtol=1e-6)


def test_an_image_of_the_target_size_is_unchanged():
    image = scaled(picture(8, 8))
    np.testing.assert_array_equal(resized(image, 8), image)


@pytest.mark.parametrize(
    "h, w, top, left", [(10, 9, 2, 1), (7, 10, 0, 2), (6, 6, 0, 0)], ids=["both", "one", "none"]
)
def test_cropping_keeps_the_centre(h, w, top, left):
    found = crop_or_pad(numbered(h, w), 6)
    np.testing.assert_array_equal(found[0, 0], [top, left, 1])
    np.testing.assert_array_equal(found[-1, -1], [top + min(h, 6) - 1, left + 5, 1])


def test_padding_is_black_and_smaller_at_the_top_left():
    found = crop_or_pad(numbered(3, 9), 6)
    np.testing.assert_array_equal(found[:, 0, 2], [0, 1, 1, 1, 0, 0])
    assert found.shape == (6, 6, 3)


def test_sizes_and_range():
    assert celeb_a(picture(218, 178)).shape == (64, 64, 3)
    assert lsun(picture(256, 100)).shape == (128, 128, 3)
    for image in (celeb_a(picture(218, 178)), lsun(picture(256, 100)), scaled(picture(28, 28))):
        assert image.dtype == np.float32
        assert 0 <= image.min() < 0.1 and 0.9 < image.max() <= 1


@pytest.mark.parametrize("crop", CROPS)
def test_every_crop_of_imagenet_has_the_size(crop):
    image = imagenet(picture(40, 61), 16, crop, np.random.default_rng(0))
    assert image.shape == (16, 16, 3) and image.dtype == np.float32


def test_the_middle_square():
    found = CROPS["middle"](numbered(5, 12), np.random.default_rng(0))
    np.testing.assert_array_equal(found[0, 0], [0, 3, 1])
    assert found.shape == (5, 5, 3)


def corners(crop, h, w, draws=2000):
    rng = np.random.default_rng(0)
    crops = [CROPS[crop](numbered(h, w), rng) for _ in range(draws)]
    assert all(c.shape[0] == c.shape[1] for c in crops)
    np.testing.assert_array_equal(crops[0][-1, -1] - crops[0][0, 0], [len(crops[0]) - 1] * 2 + [0])
    return np.array([(*c[0, 0, :2], len(c)) for c in crops])


def test_a_random_square_has_a_uniform_position():
    found = corners("random", 5, 9)
    assert set(map(tuple, found)) == {(0, left, 5) for left in range(5)}
    np.testing.assert_allclose(np.bincount(found[:, 1]) / len(found), 1 / 5, atol=0.04)


def test_a_distorted_square_has_at_least_half_the_area():
    found = corners("distorted", 8, 10)
    sides, counts = np.unique(found[:, 2], return_counts=True)
    np.testing.assert_array_equal(sides, [7, 8])  # 49 of 80 pixels; 6 * 6 would be less than half
    np.testing.assert_allclose(counts / len(found), 1 / 2, atol=0.05)
    assert set(found[found[:, 2] == 7, 1]) == set(range(4))


def test_an_image_too_long_for_a_distorted_square_is_squashed():
    image = picture(5, 11)
    np.testing.assert_array_equal(CROPS["distorted"](image, np.random.default_rng(0)), image)


def test_a_zoomed_square_is_centred_and_mirrored_half_the_time():
    """Sides of 8x10 images: the largest square has 64 pixels, so half of it is 32, and 6 * 6 is more."""
    rng, sides, mirrored = np.random.default_rng(0), [], []
    for _ in range(2000):
        found = CROPS["zoomed"](numbered(8, 10), rng)
        mirrored.append(found[0, 0, 1] > found[0, -1, 1])
        upright = found[:, ::-1] if mirrored[-1] else found
        side = len(found)
        np.testing.assert_array_equal(upright[0, 0], [(8 - side) // 2, (10 - side) // 2, 1])
        np.testing.assert_array_equal(upright[-1, -1] - upright[0, 0], [side - 1, side - 1, 0])
        sides.append(side)
    assert set(sides) == {6, 7, 8}
    np.testing.assert_allclose(np.bincount(sides)[6:] / 2000, 1 / 3, atol=0.04)
    assert np.mean(mirrored) == pytest.approx(1 / 2, abs=0.04)
    assert CropResize(16, "zoomed").random  # so that every step crops again


def test_crop_methods_of_the_configuration():
    assert TrainImagenetTransform().crop_method == "distorted"
    assert EvalImagenetTransform().crop_method == "middle"
    with pytest.raises(UserError, match=r"train_imagenet_transform.crop_method is 'zoom', use .*, zoomed, "):
        TrainImagenetTransform("zoom")
    with pytest.raises(UserError, match=r"eval_imagenet_transform.crop_method is 'centre', use one of"):
        EvalImagenetTransform("centre")

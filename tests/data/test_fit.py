"""Crops and resizes to squares."""

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import preprocess
from compare_gan.data.fit import RESIZES, CropResize

RNG = np.random.default_rng(0)


def fit(image, size, **options):
    return CropResize(size, **options)(image, RNG)


def test_the_centre_square_is_cropped():
    wide = np.zeros((4, 10, 3), np.uint8)
    wide[:, 3:7] = 200
    np.testing.assert_array_equal(fit(wide, 4), np.full((4, 4, 3), 200))
    np.testing.assert_array_equal(fit(wide.transpose(1, 0, 2), 2), np.full((2, 2, 3), 200))


def test_resizing_is_antialiased():
    """A checkerboard downsampled by 4 becomes its mean; nearest neighbour would give 0 or 200."""
    board = (np.indices((32, 32)).sum(0) % 2 * 200).astype(np.uint8)[:, :, None]
    assert np.abs(fit(board, 8).astype(int) - 100).max() <= 12
    assert fit(board, 8).shape == (8, 8, 1) and fit(board, 64).shape == (64, 64, 1)


@pytest.mark.parametrize("resize", RESIZES)
def test_every_resize_preserves_a_constant_colour(resize):
    plain = np.full((30, 17, 3), 77, np.uint8)
    np.testing.assert_array_equal(fit(plain, 8, resize=resize), np.full((8, 8, 3), 77))


def test_bilinear_is_compare_gans_rounded_to_8_bits():
    image = RNG.integers(0, 256, (218, 178, 3), np.uint8)
    found = fit(image, 64, crop=160, resize="bilinear_tf1")
    assert np.abs(found - 255 * preprocess.celeb_a(image)).max() <= 0.5 + 1e-4


def test_lanczos_is_pillows():
    image = RNG.integers(0, 256, (40, 40, 3), np.uint8)
    expected = Image.fromarray(image).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(fit(image, 16), np.asarray(expected))


def test_without_a_size_nothing_changes():
    image = RNG.integers(0, 256, (5, 9, 3), np.uint8)
    assert CropResize()(image, RNG) is image and not CropResize().random and str(CropResize()) == "as stored"


@pytest.mark.parametrize("crop, random", [("middle", False), ("none", False), ("random", True), (160, False)])
def test_only_random_crops_are_random(crop, random):
    assert CropResize(8, crop).random is random


@pytest.mark.parametrize(
    "choice, words",
    [({"size": 0}, "image_size 0"), ({"crop": "mid"}, "middle"), ({"resize": "lanzcos"}, "lanczos")],
)
def test_an_unknown_option(choice, words):
    with pytest.raises(UserError, match=words):
        CropResize(**({"size": 8} | choice))

"""Resizing against its definition and against Pillow."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from compare_gan.features.resize import clean, tf1

SIZES = [(32, 32), (7, 300), (64, 500)]


def noise(size):
    return np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_clean_is_pillows_bicubic_of_each_channel_in_float(size):
    images = noise(size)
    planes = [Image.fromarray(plane) for image in images for plane in image.transpose(2, 0, 1)]
    expected = np.array([plane.resize((99, 99), Image.Resampling.BICUBIC) for plane in planes])
    expected = expected.reshape(2, 3, 99, 99).transpose(0, 2, 3, 1).clip(0, 255)
    np.testing.assert_allclose(clean(jnp.asarray(images), 99), expected, atol=2e-3)


@pytest.mark.parametrize("size", SIZES)
def test_tf1_interpolates_between_the_pixels_before_and_after(size):
    images, (h, w) = noise(size), size
    found = np.asarray(tf1(jnp.asarray(images), 99))
    for i, j in np.ndindex(99, 99):
        y, x = i * h / 99, j * w / 99
        (a, b), (c, d) = (int(y), min(int(y) + 1, h - 1)), (int(x), min(int(x) + 1, w - 1))
        v, u = y - a, x - c
        top, bottom = ((1 - u) * images[:, row, c] + u * images[:, row, d] for row in (a, b))
        np.testing.assert_allclose(found[:, i, j], (1 - v) * top + v * bottom, atol=2e-2)


def test_images_of_the_target_size_are_unchanged():
    images = noise((99, 99))
    for resize in (clean, tf1):
        np.testing.assert_array_equal(resize(jnp.asarray(images), 99), images)

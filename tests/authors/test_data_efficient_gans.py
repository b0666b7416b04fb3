"""DiffAugment's operations against its authors' PyTorch code, for the same random numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.augmentations.diffaugment import color, cutout, translation
from tests.authors.recording import CASES

CASE = np.load(CASES / "data_efficient_gans.npz")
KEY = jax.random.key(0)


@pytest.fixture
def augmented(monkeypatch):
    """Applies an operation to the recorded images; `numbers` [images, ...] take the place of random ones."""

    def apply(operation, numbers):
        results = []
        for image, drawn in zip(CASE["images"], numbers, strict=True):
            remaining = iter(drawn)
            for name in ("uniform", "randint"):
                monkeypatch.setattr(jax.random, name, lambda *_, r=remaining, **__: jnp.asarray(next(r)))
            results.append(operation(KEY, jnp.asarray(image)))
        return np.stack(results)

    return apply


@pytest.mark.parametrize("name", ["rand_brightness", "rand_saturation", "rand_contrast"])
def test_colors(augmented, name):
    """One of the three at a time: the other numbers leave the image as it is."""
    neutral = {"rand_brightness": 0.5, "rand_saturation": 0.5, "rand_contrast": 0.5}
    columns = [CASE[f"{name} drawn"][0] if each == name else np.full(4, neutral[each]) for each in neutral]
    found = augmented(color, np.float32(columns).T[:, None])
    np.testing.assert_allclose(found, CASE[name], atol=1e-6)


def test_translation(augmented):
    """Their numbers are negative shifts, and equally likely."""
    found = augmented(translation, -CASE["rand_translation drawn"].T)
    np.testing.assert_array_equal(found, CASE["rand_translation"])


def test_cutout(augmented):
    found = augmented(cutout, CASE["rand_cutout drawn"].T)
    np.testing.assert_array_equal(found, CASE["rand_cutout"])


def test_the_numbers_are_drawn_from_their_ranges():
    """Shifts of 9x12 images in [-1, 1] and [-2, 2]; offsets of 9 and 12 pixels in [0, 8] and [0, 12]."""
    ranges = []

    def noted(key, shape, low, high):
        ranges.append((low, high - 1))
        return jnp.zeros(shape, jnp.int32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "randint", noted)
        for operation in (translation, cutout):
            operation(KEY, jnp.zeros((9, 12, 3)))
    assert ranges == [(-1, 1), (-2, 2), (0, 9 - 1), (0, 12)]

"""ADA's pipeline against NumPy, and how often it does what. `tests/authors` compares it with its authors'."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.augmentations.augment_pipe import (
    COLORS,
    GEOMETRY,
    AugmentPipe,
    Change,
    inverse_transform,
    recolored,
    warped,
)
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec

IMAGE = np.random.default_rng(0).uniform(-1, 1, (8, 8, 3)).astype(np.float32)
NONE = dict.fromkeys(Change._fields, 0.0)


def only(*names, **more):
    return AugmentPipe(**NONE | dict.fromkeys(names, 1.0) | more)


def moved(change):
    return warped(jnp.asarray(IMAGE), inverse_transform(change, IMAGE.shape))


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, -2), (-1, 1)])
def test_translation_by_pixels_is_exact(right, down):
    """What moves in is reflected, without the border pixel."""
    padded = np.pad(IMAGE, ((2, 2), (2, 2), (0, 0)), "reflect")
    expected = padded[2 - down : 10 - down, 2 - right : 10 - right]
    np.testing.assert_allclose(moved(Change(xint=(right / 8, down / 8))), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (Change(xflip=1.0), lambda x, y: (-x, y)),
        (Change(rotate90=1.0), lambda x, y: (-y, x)),
        (Change(scale=2.0), lambda x, y: (x / 2, y / 2)),
        (Change(aniso=2.0), lambda x, y: (x / 2, 2 * y)),
        (Change(rotate=(np.pi / 6, np.pi / 3)), lambda x, y: (-y, x)),
        (Change(scale=0.8, rotate=(0.0, np.pi / 2)), lambda x, y: (-y / 0.8, x / 0.8)),
        (Change(xfrac=(0.05, 0.1), xflip=1.0), lambda x, y: (1.6 - x, y - 3.2)),
    ],
)
def test_geometry_of_a_smooth_image(change, place):
    """A wave, seen at other places; the filter is nearly symmetric, and the inner part sees no reflection."""
    y, x = np.mgrid[:32, :32] - 15.5
    wave = lambda x, y: np.sin(0.2 * x + 0.1 * y + 1)[..., None].astype(np.float32)  # noqa: E731
    found = warped(jnp.asarray(wave(x, y)), inverse_transform(change, (32, 32, 1)))
    inner = slice(10, -10)
    np.testing.assert_allclose(found[inner, inner], wave(*place(x, y))[inner, inner], atol=0.03)


def test_colors_in_closed_form():
    grey = IMAGE.mean(2, keepdims=True)
    for change, expected in (
        (Change(brightness=0.3), IMAGE + np.float32(0.3)),
        (Change(contrast=1.7), 1.7 * IMAGE),
        (Change(saturation=0.4), grey + 0.4 * (IMAGE - grey)),
        (Change(lumaflip=1.0), IMAGE - 2 * grey),
        (Change(hue=2 * np.pi / 3), np.roll(IMAGE, 1, 2)),
        (Change(brightness=0.5, contrast=2.0, saturation=0.0), np.repeat(2 * (grey + 0.5), 3, 2)),
    ):
        np.testing.assert_allclose(recolored(jnp.asarray(IMAGE), change), expected, atol=2e-6)
    found = recolored(jnp.asarray(grey), Change(lumaflip=1.0, contrast=2.0, hue=1.0))
    np.testing.assert_allclose(found, -2 * grey)


KEYS = jax.random.split(jax.random.key(0), 4000)


@jax.jit
def drawn_with(p):
    return jax.vmap(lambda key: AugmentPipe(contrast=0.5, cutout=1.0).draw(key, p))(KEYS)


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_each_operation_happens_with_probability_p(p):
    """A flip or a quarter turn may be by 0, so that half or a quarter of them change nothing."""
    drawn = drawn_with(jnp.float32(p))
    visible = {"xflip": 0.5, "rotate90": 0.75, "lumaflip": 0.5, "contrast": 0.5}
    changed = {}
    for name, values in drawn._asdict().items():
        unchanged = jnp.asarray(getattr(Change(), name))
        changed[name] = np.any((values != unchanged).reshape(len(KEYS), -1), axis=1)
        chance = p * visible.get(name, 1)
        tolerance = 4 * np.sqrt(chance * (1 - chance) / len(KEYS)) + 1e-3 * (p > 0)
        assert changed[name].mean() == pytest.approx(chance, abs=tolerance), name
    if p == 0.4:
        correlations = np.corrcoef([changed[name] for name in changed])
        assert np.abs(correlations - np.eye(len(changed))).max() < 0.07


def test_sizes_of_the_changes():
    """Appendix B of the paper: ranges of uniform parameters, deviations of normal ones."""
    drawn = drawn_with(jnp.float32(1.0))
    for name, limit in (("xint", 1 / 8), ("rotate", np.pi), ("hue", np.pi)):
        values = np.abs(getattr(drawn, name))
        assert 0.98 * limit < values.max() <= limit
        assert values.mean() == pytest.approx(limit / 2, rel=0.05)
    for name, deviation in (("scale", 0.2), ("aniso", 0.2), ("contrast", 0.5), ("saturation", 1.0)):
        values = np.log2(getattr(drawn, name))
        values = values[values != 0]  # half of the images keep their contrast
        assert values.std() == pytest.approx(deviation, rel=0.05) and abs(values.mean()) < 0.08 * deviation
    assert np.std(drawn.brightness) == pytest.approx(0.2, rel=0.05)
    assert np.std(drawn.xfrac) == pytest.approx(1 / 8, rel=0.05)
    assert set(np.unique(drawn.rotate90)) == {0, 1, 2, 3}
    np.testing.assert_allclose(drawn.cutout.mean(0), [0.5, 0.5, 0.5], atol=0.02)


@pytest.mark.parametrize("name", [*GEOMETRY, *COLORS, "cutout"])
def test_gradients_reach_the_image(name):
    """Each operation is affine in the image, so a directional derivative is a difference."""
    augment = functools.partial(only(name), KEYS[3], p=1.0)
    x, change = jnp.asarray(IMAGE), 1e-2 * jnp.asarray(IMAGE[::-1])
    _, derivative = jax.jvp(augment, (x,), (change,))
    np.testing.assert_allclose(derivative, augment(x + change) - augment(x), atol=2e-6)
    assert np.any(jax.grad(lambda x: jnp.sum(augment(x) ** 2))(x))


def test_a_batch_in_parts_is_augmented_as_the_whole():
    images = jax.random.uniform(jax.random.key(1), (8, *IMAGE.shape))
    augment = jax.jit(jax.vmap(functools.partial(AugmentPipe(), p=jnp.float32(0.6))))
    whole = augment(KEYS[:8], images)
    parts = [augment(KEYS[i : i + 4], images[i : i + 4]) for i in (0, 4)]
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-6)


def test_mistakes_are_refused_in_one_line():
    with pytest.raises(UserError, match=r"AugmentPipe.hue is 2.0; it must be in \[0, 1\]"):
        AugmentPipe(hue=2.0)
    with pytest.raises(UserError, match="1 or 3 channels; these have 4"):
        AugmentPipe().check(ImageSpec((8, 8, 4)))

"""DiffAugment against NumPy and against its invariances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.augmentations.diffaugment import DiffAugment, color, cutout, translation
from compare_gan.config.parse import parse
from compare_gan.core.augmentation import DIFFAUGMENT
from compare_gan.core.errors import UserError

KEYS = jax.random.split(jax.random.key(0), 200)
SHAPE = (9, 12, 3)
IMAGES = jax.random.uniform(jax.random.key(1), (200, *SHAPE), minval=0.1)


def test_translation_shifts_by_an_eighth_and_pads_with_zeros():
    moved = np.asarray(jax.vmap(translation)(KEYS, IMAGES))
    found = set()
    for image, result in zip(np.asarray(IMAGES), moved, strict=True):
        matches = []
        for dy in range(-3, 4):
            for dx in range(-3, 4):
                expected = np.zeros(SHAPE, np.float32)
                h, w, _ = SHAPE
                expected[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = image[
                    max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)
                ]
                if np.array_equal(expected, result):
                    matches.append((dy, dx))
        assert len(matches) == 1
        found.add(matches[0])
    # int(9/8 + 1/2) = 1 and int(12/8 + 1/2) = 2
    assert found == {(dy, dx) for dy in range(-1, 2) for dx in range(-2, 3)}


def test_cutout_zeroes_a_square_of_half_the_sides_anywhere():
    holes = np.asarray(jax.vmap(cutout)(KEYS, IMAGES)) == 0
    corners = set()
    for hole in holes:
        assert (hole == hole[..., :1]).all()
        rows, columns = np.flatnonzero(hole[:, :, 0].any(1)), np.flatnonzero(hole[:, :, 0].any(0))
        assert hole.sum() == 3 * len(rows) * len(columns)  # a rectangle
        for inside, n in ((rows, 9), (columns, 12)):
            length = int(n / 2 + 0.5)
            assert np.array_equal(inside, np.arange(inside[0], inside[-1] + 1)) and len(inside) <= length
            assert len(inside) == length or inside[0] == 0 or inside[-1] == n - 1
        corners.add((rows[0], columns[0], len(rows), len(columns)))
    assert len(corners) > 60


def test_color_is_the_formula_of_the_paper():
    for key, image in zip(KEYS[:20], IMAGES[:20], strict=True):
        brightness, saturation, contrast = np.asarray(jax.random.uniform(key, (3,)), np.float64)
        x = np.asarray(image, np.float64) + brightness - 0.5
        x = (x - x.mean(2, keepdims=True)) * (saturation * 2) + x.mean(2, keepdims=True)
        x = (x - x.mean()) * (contrast + 0.5) + x.mean()
        np.testing.assert_allclose(color(key, image), x, atol=2e-6)


def test_padding_is_grey_or_black():
    black = jnp.zeros((8, 8, 1))
    grey, none = (DiffAugment("cutout", value_range) for value_range in ("minus_one_one", "zero_one"))
    assert set(np.unique(grey(KEYS[0], black, 1.0))) == {0.0, 0.5}
    assert not np.any(none(KEYS[0], black, 1.0))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_an_image_is_augmented_with_probability_p(p):
    augment = jax.vmap(functools.partial(DiffAugment("color,translation,cutout"), p=jnp.float32(p)))
    changed = np.asarray(jnp.any(augment(KEYS, IMAGES) != IMAGES, (1, 2, 3)))
    assert abs(changed.mean() - p) <= 4 * np.sqrt(p * (1 - p) / len(KEYS))


@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "color,translation,cutout"])
def test_gradients_reach_the_image(policy):
    """The operations are affine or select pixels, so a directional derivative is a difference."""
    augment = functools.partial(DiffAugment(policy), KEYS[3], p=1.0)
    x, change = IMAGES[0], 1e-2 * IMAGES[1]
    _, derivative = jax.jvp(augment, (x,), (change,))
    np.testing.assert_allclose(derivative, augment(x + change) - augment(x), atol=1e-6)
    assert np.any(jax.grad(lambda x: jnp.sum(augment(x) ** 2))(x))


def test_mistakes_are_refused_in_one_line():
    with pytest.raises(UserError, match="unknown operation 'colour'; did you mean 'color'?"):
        DiffAugment("colour")
    with pytest.raises(UserError, match="value_range is '0..1'; use minus_one_one or zero_one"):
        DiffAugment("color", "0..1")


def test_configurations_of_the_fork_need_only_the_policy():
    small = ["small.gin", "s3gan.gin"]
    plain = parse(small, ["DiffAugment.policy = ''"])
    assert plain.base.keywords.get("augment") is None
    parsed = parse(small, ["DiffAugment.policy = 'translation'", "DiffAugment.value_range = 'zero_one'"])
    assert parsed.base.keywords["augment"] == DiffAugment("translation", "zero_one")
    again = parse([], parsed.operative_config.splitlines())
    assert again.base.keywords["augment"] == parsed.base.keywords["augment"]


def test_the_numbers_of_parameters_are_those_that_a_task_predicts():
    image = jax.ShapeDtypeStruct((8, 8, 3), jnp.float32)
    drawn = jax.eval_shape(DiffAugment(",".join(DIFFAUGMENT)).parameters, jax.random.key(0), image)
    assert {name: parameters.shape for name, parameters in drawn.items()} == {
        name: (count,) for name, count in DIFFAUGMENT.items()
    }

"""Strong augmentation against SciPy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from compare_gan.core.errors import UserError
from compare_gan.training.strong import RANGES, RandAugment, inverse_transform, recolored, warped

KEY = jax.random.key(0)


def amounts(**changes):
    return {name: jnp.float32(changes.get(name, 0)) for name in RANGES}


def pictures(count, side=8, channels=3):
    return np.random.default_rng(0).random((count, side, side, channels)).astype(np.float32)


@pytest.mark.parametrize(
    "changes",
    [
        {"rotation": 0.4},
        {"shear_x": 0.3, "rotation": -0.2},
        {"shear_y": -0.2, "shift_x": 0.3, "shift_y": -0.1},
    ],
)
def test_images_are_warped_as_scipy_does(changes):
    image = pictures(1)[0, :, :6]
    found = warped(jnp.asarray(image), inverse_transform(amounts(**changes), (8, 6)))
    angle = changes.get("rotation", 0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # of (x, y)
    shear = np.array([[1, changes.get("shear_x", 0)], [0, 1]]) @ [[1, 0], [changes.get("shear_y", 0), 1]]
    matrix, centre = (turn @ shear)[::-1, ::-1], np.array([3.5, 2.5])  # of (y, x)
    shift = np.array([8 * changes.get("shift_y", 0), 6 * changes.get("shift_x", 0)])
    offset = centre + matrix @ (shift - centre)
    expected = [
        ndimage.affine_transform(image[..., c], matrix, offset, order=1, mode="nearest") for c in range(3)
    ]
    np.testing.assert_allclose(found, np.stack(expected, -1), atol=1e-5)


def test_each_image_gets_its_operations():
    drawn = RandAugment(operations=3, strength=0.5).draw(KEY, 500)
    values = np.stack([drawn[name] for name in RANGES], 1)
    assert ((values != 0).sum(1) == 3).all()
    for column, limit in zip(values.T, RANGES.values(), strict=True):
        assert 0.4 * limit < column.max() <= 0.5 * limit and -0.5 * limit <= column.min() < -0.4 * limit
        assert 100 < (column != 0).sum() < 235


@pytest.mark.parametrize("channels", [1, 3])
def test_without_operations_only_a_grey_square_is_added(channels):
    x = pictures(40, channels=channels)
    np.testing.assert_allclose(RandAugment(0, cutout=0.0)(KEY, x), x, atol=1e-6)
    found = np.asarray(RandAugment(0, cutout=0.5)(KEY, x))
    holes = (found == 0.5).all(3)
    np.testing.assert_allclose(found[~holes], x[~holes], atol=1e-6)
    assert holes.any(2).sum(1).max() == 4


@pytest.mark.parametrize("channels", [1, 3])
def test_no_image_is_mirrored(channels):
    """The bright half of each image stays on its side; mirroring would move it."""
    x = np.concatenate([np.full((400, 8, 4, channels), v, np.float32) for v in (0.3, 0.6)], axis=2)
    strong = RandAugment(operations=5, strength=0.6, cutout=0.0)
    found = np.asarray(jax.jit(strong)(KEY, x))
    assert found.shape == x.shape and 0 <= found.min() and found.max() <= 1
    drawn = strong.draw(jax.random.split(KEY)[0], 400)  # the amounts that were used
    kept = np.abs(drawn["solarize"]) < 0.05  # others may be inverted
    left, right = found[kept, :, :2].mean((1, 2, 3)), found[kept, :, 6:].mean((1, 2, 3))
    assert kept.sum() > 150 and (right > left).all()


@pytest.mark.parametrize("change", [{"operations": 10}, {"strength": 1.5}, {"cutout": -0.1}])
def test_values_out_of_range_are_refused(change):
    with pytest.raises(UserError, match="must be"):
        RandAugment(**change)


@pytest.mark.parametrize("name", ["Brightness", "Contrast"])
def test_colours_are_those_of_pillow(name):
    """Pillow's contrast is around the mean luminance, rounded; here all channels have the same weight."""
    image = (255 * pictures(1)[0]).astype(np.uint8)
    expected = np.float32(getattr(ImageEnhance, name)(Image.fromarray(image)).enhance(0.7))
    if name == "Contrast":
        expected += 0.3 * (image.mean() - np.mean(image @ [0.299, 0.587, 0.114]))
    changes = {key: x[None] for key, x in amounts(**{name.lower(): -0.3}).items()}
    found = 255 * np.asarray(recolored(image[None] / np.float32(255), changes)[0])
    np.testing.assert_allclose(found, expected, atol=1 + 0.3 / 2)  # values and the mean are rounded


def test_bright_pixels_are_inverted():
    x = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1)
    found = recolored(x, {name: x[None] for name, x in amounts(solarize=-0.4).items()})
    np.testing.assert_allclose(found, np.where(x > 0.6, 1 - x, x), atol=1e-6)

"""The augmentation pipeline of ADA: Karras et al., https://arxiv.org/abs/2006.06676, appendix B.

Coordinates are (x, y) in pixels, relative to the centre of the image.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from compare_gan.core.augmentation import CheckedAugment, refuse_mirror
from compare_gan.core.errors import UserError
from compare_gan.core.registry import AUGMENTATIONS
from compare_gan.core.types import Array, ImageSpec

Value = Array | np.ndarray
ZERO, ONE, ZEROS = (np.asarray(x, np.float32) for x in (0.0, 1.0, (0.0, 0.0)))


class Change(NamedTuple):
    """The parameters of all operations on one image; the defaults change nothing."""

    xflip: Value = ZERO  # 1: mirrored left to right
    rotate90: Value = ZERO  # number of quarter turns
    xint: Value = ZEROS  # translation as a fraction of the sides, rounded to pixels
    scale: Value = ONE
    rotate: Value = ZEROS  # radians, before and after `aniso`
    aniso: Value = ONE  # the width is multiplied by it and the height divided
    xfrac: Value = ZEROS  # translation as a fraction of the sides
    brightness: Value = ZERO  # added, for values in [-1, 1]
    contrast: Value = ONE
    lumaflip: Value = ZERO  # 1: light becomes dark, with the same hue
    hue: Value = ZERO  # radians
    saturation: Value = ONE
    cutout: Value = np.zeros(3, np.float32)  # centre (x, y) and side of a window, as fractions of the sides


GEOMETRY, COLORS = Change._fields[:7], Change._fields[7:12]
# Each from two uniform numbers in [0, 1) and two normal ones.
DISTRIBUTIONS: dict[str, Callable[[Array, Array], Array]] = {
    "xflip": lambda u, n: jnp.floor(2 * u[0]),
    "rotate90": lambda u, n: jnp.floor(4 * u[0]),
    "xint": lambda u, n: (2 * u - 1) / 8,
    "scale": lambda u, n: 2 ** (0.2 * n[0]),
    "rotate": lambda u, n: (2 * u - 1) * np.pi,
    "aniso": lambda u, n: 2 ** (0.2 * n[0]),
    "xfrac": lambda u, n: n / 8,
    "brightness": lambda u, n: 0.2 * n[0],
    "contrast": lambda u, n: 2 ** (0.5 * n[0]),
    "lumaflip": lambda u, n: jnp.floor(2 * u[0]),
    "hue": lambda u, n: (2 * u[0] - 1) * np.pi,
    "saturation": lambda u, n: 2 ** n[0],
    "cutout": lambda u, n: jnp.stack([u[0], u[1], jnp.float32(0.5)]),
}


@AUGMENTATIONS.register("AugmentPipe")
@dataclasses.dataclass(frozen=True)
class AugmentPipe(CheckedAugment):
    """Pixel blitting, geometry, colours and cutout, each operation with probability p times its parameter.

    By default without cutout, which is the set that the paper calls "bgc".

    Made for `ModularGAN.augment_probability = @ADA()`: with p = 1 generated images look augmented, too. The
    image continues by reflection, and is resampled in twice its resolution, with the sym6 wavelet as filter.

    Raises:
      UserError: a parameter is not in [0, 1].
    """

    xflip: float = 1.0  # 0 for images with a reading direction, such as digits or letters
    rotate90: float = 1.0
    xint: float = 1.0
    scale: float = 1.0
    rotate: float = 1.0
    aniso: float = 1.0
    xfrac: float = 1.0
    brightness: float = 1.0
    contrast: float = 1.0
    lumaflip: float = 1.0
    hue: float = 1.0
    saturation: float = 1.0
    cutout: float = 0.0

    def __post_init__(self):
        for name in Change._fields:
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"AugmentPipe.{name} is {getattr(self, name)}; it must be in [0, 1]")

    def check(self, spec: ImageSpec) -> None:
        if spec.image_shape[2] not in (1, 3):
            raise UserError(
                f"AugmentPipe augments images with 1 or 3 channels; these have {spec.image_shape[2]}"
            )
        if self.xflip:
            refuse_mirror("AugmentPipe.xflip", spec, "AugmentPipe.xflip = 0.0")

    def __call__(self, key: Array, image: Array, p: Array | float) -> Array:
        change, x = self.draw(key, p), 2 * image - 1
        if any(getattr(self, name) for name in GEOMETRY):
            x = warped(x, inverse_transform(change, image.shape))
        if any(getattr(self, name) for name in COLORS):
            x = recolored(x, change)
        if self.cutout:
            x = cut_out(x, change.cutout)
        return (x + 1) / 2

    def draw(self, key: Array, p: Array | float) -> Change:
        """The random parameters for one image."""
        keys, shape = jax.random.split(key, 3), (len(Change._fields), 2)
        chances, uniform = jax.random.uniform(keys[0], shape), jax.random.uniform(keys[1], shape)
        normal, drawn = jax.random.normal(keys[2], shape), {}
        for i, (name, unchanged) in enumerate(Change()._asdict().items()):
            chance = getattr(self, name) * p
            if name == "rotate":  # the chance of each of two rotations, so that there is any with `chance`
                happens = chances[i] < 1 - jnp.sqrt(1 - chance)
            else:
                happens = chances[i, 0] < chance
            value = DISTRIBUTIONS[name](uniform[i], normal[i])
            drawn[name] = jnp.where(happens, value, unchanged)
        return Change(**drawn)


def inverse_transform(change: Change, shape: tuple[int, ...]) -> Array:
    """The matrix [3, 3] that maps a place in the result to its place in the image."""
    c = Change(*map(jnp.asarray, change))
    sides = jnp.array([shape[1], shape[0]], jnp.float32)
    return product(
        scaling(1 - 2 * c.xflip, 1),
        rotation(c.rotate90 * (np.pi / 2)),
        translation(-jnp.round(c.xint * sides)),
        scaling(1 / c.scale, 1 / c.scale),
        rotation(c.rotate[0]),
        scaling(1 / c.aniso, c.aniso),
        rotation(c.rotate[1]),
        translation(-c.xfrac * sides),
    )


def product(*matrices: Value) -> Array:
    return functools.reduce(functools.partial(jnp.matmul, precision="highest"), map(jnp.asarray, matrices))


def scaling(x: Value | float, y: Value | float) -> Array:
    return jnp.diag(jnp.stack([jnp.asarray(each, jnp.float32) for each in (x, y, 1.0)]))


def rotation(angle: Value) -> Array:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.eye(3).at[:2, :2].set(jnp.array([[cos, -sin], [sin, cos]]))


def translation(by: Value) -> Array:
    return jnp.eye(3).at[:2, 2].set(by)


def warped(x: Array, inverse: Array) -> Array:
    """The image x [H, W, C] under a geometric transformation; it continues by reflection, once."""
    h, w, _ = x.shape
    fine = jnp.einsum("ih,hwc,jw->ijc", expansion(h), x, expansion(w), precision="highest")
    # Places in the result at twice its resolution, with a margin of 6 for the filter, as of pixel centres.
    dy, dx = jnp.meshgrid(*(jnp.arange(2 * n + 12) - (n + 5.0) for n in (h, w)), indexing="ij")
    columns, rows = (
        inverse[i, 0] * dx + inverse[i, 1] * dy + (2 * inverse[i, 2] + 3 * n - 3)
        for i, n in enumerate((w, h))
    )
    sample = functools.partial(map_coordinates, coordinates=[rows, columns], order=1, mode="constant")
    sampled = jax.vmap(sample, in_axes=-1, out_axes=-1)(fine)
    return jnp.einsum("ih,hwc,jw->ijc", reduction(h), sampled, reduction(w), precision="highest")


# Daubechies' symlet with 6 vanishing moments, scaled to a sum of 1.
SYM6 = np.array(
    [0.015404109327, 0.003490712084, -0.117990111148, -0.048311742586, 0.491055941927, 0.787641141030]
    + [0.337929421728, -0.072637522786, -0.021060292512, 0.044724901771, 0.001767711864, -0.007800708325]
) / np.sqrt(2)


def expansion(n: int) -> np.ndarray:
    """The matrix [2 (3n - 2), n] that continues n pixels by reflection and doubles the resolution."""
    continued = np.pad(np.eye(n), ((n - 1, n - 1), (0, 0)), "reflect")
    spread = np.zeros((2 * len(continued) + 11, n))
    spread[6:-5:2] = continued
    return np.stack([np.convolve(column, 2 * SYM6, "valid") for column in spread.T], 1).astype(np.float32)


def reduction(n: int) -> np.ndarray:
    """The matrix [n, 2n + 12] that halves the resolution; 6 pixels on either side are for the filter."""
    inner = np.eye(2 * n + 12)[1:-1]
    return np.stack([np.correlate(column, SYM6, "valid")[::2] for column in inner.T], 1).astype(np.float32)


GREY_AXIS = np.full((3, 3), 1 / 3, np.float32)  # projects RGB colours on the grey ones
TURN = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.sqrt(3).astype(np.float32)


def recolored(x: Array, change: Change) -> Array:
    """The image x [H, W, C] in [-1, 1] with other colours; C = 1 is grey and has no hue."""
    x = (x + change.brightness) * change.contrast
    if x.shape[2] == 1:
        return x * (1 - 2 * change.lumaflip)
    eye, cos, sin = jnp.eye(3), jnp.cos(change.hue), jnp.sin(change.hue)
    colors = product(
        GREY_AXIS + (eye - GREY_AXIS) * change.saturation,
        cos * eye + sin * TURN + (1 - cos) * GREY_AXIS,
        eye - 2 * GREY_AXIS * change.lumaflip,
    )
    return jnp.einsum("hwc,dc->hwd", x, colors, precision="highest")


def cut_out(x: Array, window: Value) -> Array:
    """The image x [H, W, C] in [-1, 1], grey in a window of centre (x, y) and side as shares of the sides."""
    h, w, _ = x.shape
    across = abs((jnp.arange(w) + 0.5) / w - window[0]) < window[2] / 2
    down = abs((jnp.arange(h) + 0.5) / h - window[1]) < window[2] / 2
    return jnp.where((down[:, None] & across)[..., None], 0, x)

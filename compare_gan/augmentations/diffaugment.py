"""Differentiable augmentation: Zhao et al., https://arxiv.org/abs/2006.10738."""

import dataclasses

import jax
import jax.numpy as jnp

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import AUGMENTATIONS
from compare_gan.core.types import Array

RANGES = ("minus_one_one", "zero_one")


@AUGMENTATIONS.register("DiffAugment")
@dataclasses.dataclass(frozen=True)
class DiffAugment:
    """Random colours, translation and cutout, in the order of `policy`.

    The operations are defined for values in [-1, 1], so the padding of translation and cutout is grey. Zhao
    et al. recommend color,translation,cutout; cutout can leak into the samples of small images.

    >>> augment = cg.AUGMENTATIONS["DiffAugment"]("translation")
    >>> augment(jax.random.key(0), jnp.ones((8, 8, 3)), 1.0).shape
    (8, 8, 3)

    Args:
      policy: comma-separated names of operations: color, translation, cutout.
      value_range: "minus_one_one" applies them to 2x - 1. "zero_one" applies them to x as it is, with black
        padding and twice the change of brightness, as Zhao et al. did in their fork of compare_gan.

    Raises:
      UserError: an unknown operation or value range.
    """

    policy: str = "color,translation"
    value_range: str = "minus_one_one"

    def __post_init__(self):
        for name in self.operations:
            if name not in OPERATIONS:
                known = did_you_mean(name, OPERATIONS)
                raise UserError(f"DiffAugment.policy has an unknown operation {name!r}{known}")
        if self.value_range not in RANGES:
            raise UserError(f"DiffAugment.value_range is {self.value_range!r}; use {' or '.join(RANGES)}")

    @property
    def operations(self) -> list[str]:
        return [name.strip() for name in self.policy.split(",")] if self.policy else []

    def __call__(self, key: Array, image: Array, p: Array | float) -> Array:
        p_key, *keys = jax.random.split(key, 1 + len(self.operations))
        x = image if self.value_range == "zero_one" else 2 * image - 1
        for name, operation_key in zip(self.operations, keys, strict=True):
            x = OPERATIONS[name](operation_key, x)
        x = x if self.value_range == "zero_one" else (x + 1) / 2
        if isinstance(p, float) and p == 1:
            return x
        return jnp.where(jax.random.bernoulli(p_key, p), x, image)

    def parameters(self, key: Array, image: Array) -> dict[str, Array]:
        """What is drawn from the key, by operation, scaled to [0, 1]; see `ParametricAugment`."""
        keys = jax.random.split(key, 1 + len(self.operations))[1:]
        return {
            name: PARAMETERS[name](operation_key, image.shape)
            for name, operation_key in zip(self.operations, keys, strict=True)
        }


def color(key: Array, x: Array) -> Array:
    """Shifts the brightness, then scales saturation and contrast."""
    brightness, saturation, contrast = color_parameters(key, x.shape)
    x = x + (brightness - 0.5)
    grey = x.mean(-1, keepdims=True)
    x = grey + 2 * saturation * (x - grey)
    mean = x.mean()
    return mean + (contrast + 0.5) * (x - mean)


def color_parameters(key: Array, shape: tuple[int, ...]) -> Array:
    """[3]: brightness, saturation, contrast."""
    del shape
    return jax.random.uniform(key, (3,))


def translation(key: Array, x: Array) -> Array:
    """Shifts by up to 1/8 of each side; zeros move in."""
    h, w, _ = x.shape
    keys = jax.random.split(key)
    rows, columns = (shift_matrix(k, n, most_shift(n)) for k, n in zip(keys, (h, w), strict=True))
    return jnp.einsum("ih,hwc,jw->ijc", rows, x, columns, precision="highest")


def shift_matrix(key: Array, size: int, most: int) -> Array:
    """The matrix [size, size] that shifts by a random number of pixels in [-most, most].

    A product with it is faster on all devices than gathering pixels, above all backwards.
    """
    shift = random_shift(key, most)
    position = jnp.arange(size)
    return (position[:, None] - position == shift).astype(jnp.float32)


def most_shift(size: int) -> int:
    return int(size / 8 + 0.5)


def random_shift(key: Array, most: int) -> Array:
    return jax.random.randint(key, (), -most, most + 1)


def translation_parameters(key: Array, shape: tuple[int, ...]) -> Array:
    """[2]: vertical, horizontal; 0 is the largest shift down or right, 1 the largest one up or left."""
    shifts = [
        random_shift(k, most_shift(n)) / max(1, most_shift(n))
        for k, n in zip(jax.random.split(key), shape[:2], strict=True)
    ]
    return 0.5 - jnp.stack(shifts) / 2


def cutout(key: Array, x: Array) -> Array:
    """Sets a square of half the sides to zero. Its centre is anywhere, so part of it may be outside."""
    keys = jax.random.split(key)
    rows, columns = (covered(k, n) for k, n in zip(keys, x.shape, strict=False))
    return jnp.where((rows[:, None] & columns)[..., None], 0, x)


def covered(key: Array, size: int) -> Array:
    """[size]: the positions in a random interval of half the size."""
    length = cutout_length(size)
    first = random_centre(key, size) - length // 2
    position = jnp.arange(size)
    return (position >= first) & (position < first + length)


def cutout_length(size: int) -> int:
    return int(size / 2 + 0.5)


def random_centre(key: Array, size: int) -> Array:
    return jax.random.randint(key, (), 0, size + (1 - cutout_length(size) % 2))


def cutout_parameters(key: Array, shape: tuple[int, ...]) -> Array:
    """[2]: the centre of the square, as a fraction of its largest value."""
    centres = [
        random_centre(k, n) / (n - cutout_length(n) % 2)
        for k, n in zip(jax.random.split(key), shape[:2], strict=True)
    ]
    return jnp.stack(centres)


OPERATIONS = {"color": color, "translation": translation, "cutout": cutout}
PARAMETERS = {
    "color": color_parameters,
    "translation": translation_parameters,
    "cutout": cutout_parameters,
}

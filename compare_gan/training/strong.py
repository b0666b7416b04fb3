"""Strong label-preserving augmentation, for consistency training and for pairs of views."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from compare_gan.augmentations.augment_pipe import product, rotation, translation
from compare_gan.core.errors import UserError
from compare_gan.core.types import Array
from compare_gan.training.augment import adjusted_color, random_cutout

# The largest change of each operation at strength 1.
RANGES = {
    "rotation": np.deg2rad(30),  # radians
    "shear_x": 0.3,
    "shear_y": 0.3,
    "shift_x": 0.3,  # as a fraction of the side
    "shift_y": 0.3,
    "brightness": 0.9,  # relative, as are contrast and saturation
    "contrast": 0.9,
    "saturation": 0.9,  # grey images have none
    "solarize": 1.0,  # values above 1 minus this are inverted
}


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """Some random operations of `RANGES` on each image, each by a random amount, and then cutout.

    Cubuk et al., https://arxiv.org/abs/1909.13719, in the variant of FixMatch, https://arxiv.org/abs/2001.07685,
    which draws the amounts, too. No operation mirrors.

    Raises:
      UserError: a value out of range.
    """

    operations: int = 2  # per image
    strength: float = 1.0  # of all operations, relative to `RANGES`
    cutout: float = 0.5  # side of the grey square, relative to the shorter side of the image

    def __post_init__(self):
        if not 0 <= self.operations <= len(RANGES):
            raise UserError(f"operations is {self.operations}; it must be 0 to {len(RANGES)}")
        for name in ("strength", "cutout"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be in [0, 1]")

    def __call__(self, rng: Array, images: Array) -> Array:  # [B, H, W, C] in [0, 1]
        amounts_rng, cutout_rng = jax.random.split(rng)
        _, h, w, _ = images.shape
        if self.operations:
            amounts = self.draw(amounts_rng, len(images))
            inverse = jax.vmap(functools.partial(inverse_transform, shape=(h, w)))(amounts)
            images = recolored(jax.vmap(warped)(images, inverse), amounts)
        side = round(self.cutout * min(h, w))
        return random_cutout(cutout_rng, images, side) if side else images

    def draw(self, rng: Array, count: int) -> dict[str, Array]:
        """The amount of each operation for `count` images, [count] each; 0 if it is not chosen."""
        order_rng, amount_rng = jax.random.split(rng)
        shape = (count, len(RANGES))
        ranks = jax.random.uniform(order_rng, shape).argsort(1).argsort(1)
        units = jax.random.uniform(amount_rng, shape, minval=-1.0) * (ranks < self.operations)
        scales = self.strength * np.array(list(RANGES.values()), np.float32)
        return dict(zip(RANGES, (units * scales).T, strict=True))


def inverse_transform(amounts: dict[str, Array], shape: tuple[int, int]) -> Array:
    """The matrix [3, 3] that maps a place in the result to its place in the image.

    Args:
      amounts: of each operation, scalars.
      shape: H, W.
    """
    h, w = shape
    shears = jnp.eye(3).at[0, 1].set(amounts["shear_x"]), jnp.eye(3).at[1, 0].set(amounts["shear_y"])
    shift = jnp.stack([amounts["shift_x"] * w, amounts["shift_y"] * h])
    return product(rotation(amounts["rotation"]), *shears, translation(shift))


def warped(image: Array, inverse: Array) -> Array:
    """The image [H, W, C] under an affine map about its centre; bilinear, continued by its edge pixels."""
    h, w, _ = image.shape
    dy, dx = jnp.meshgrid(*(jnp.arange(n) - (n - 1) / 2 for n in (h, w)), indexing="ij")
    columns, rows = (
        inverse[i, 0] * dx + inverse[i, 1] * dy + inverse[i, 2] + (n - 1) / 2 for i, n in enumerate((w, h))
    )
    sample = functools.partial(map_coordinates, coordinates=[rows, columns], order=1, mode="nearest")
    return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)


def recolored(images: Array, amounts: dict[str, Array]) -> Array:
    """Images [B, H, W, C] in [0, 1] with other colours; each amount is [B]."""
    amounts = {name: amount[:, None, None, None] for name, amount in amounts.items()}
    factors = (1 + amounts[name] for name in ("brightness", "contrast", "saturation"))
    images = adjusted_color(images, *factors)
    return jnp.where(images > 1 - jnp.abs(amounts["solarize"]), 1 - images, images)

"""Image transforms that run inside a compiled step."""

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array

TURNS = 4  # rotations by multiples of 90 degrees


def quarter_turns(images: Array, turns: tuple[int, ...] = tuple(range(TURNS))) -> Array:
    """Rotates images counter-clockwise: [B, H, W, C] -> [len(turns) * B, H, W, C], grouped by rotation."""
    return jnp.concatenate([jnp.rot90(images, k, axes=(1, 2)) for k in turns])


def random_flip(rng: Array, images: Array) -> Array:
    """Mirrors each image [..., H, W, C] left to right with probability 1/2."""
    flip = jax.random.bernoulli(rng, shape=images.shape[:-3])
    return jnp.where(flip[..., None, None, None], images[..., ::-1, :], images)


def random_shift(rng: Array, images: Array, max_shift: int) -> Array:
    """Shifts each image of [B, H, W, C] by up to `max_shift` pixels in each direction, with edge padding."""
    if not max_shift:
        return images
    b, h, w, c = images.shape
    padding = (max_shift, max_shift)
    padded = jnp.pad(images, ((0, 0), padding, padding, (0, 0)), "edge")
    corners = jax.random.randint(rng, (b, 2), 0, 2 * max_shift + 1)
    return jax.vmap(lambda x, at: jax.lax.dynamic_slice(x, (at[0], at[1], 0), (h, w, c)))(padded, corners)

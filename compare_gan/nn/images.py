"""What is done to images inside a compiled step."""

import jax
import jax.numpy as jnp

from compare_gan.core.types import Array

TURNS = 4


def quarter_turns(images: Array, turns: tuple[int, ...] = tuple(range(TURNS))) -> Array:
    """[B, H, W, C] -> [len(turns) * B, H, W, C], counter-clockwise, grouped by turn."""
    return jnp.concatenate([jnp.rot90(images, k, axes=(1, 2)) for k in turns])


def random_flip(rng: Array, images: Array) -> Array:
    """Each image [..., H, W, C] mirrored left to right, or not, with even chances."""
    coins = jax.random.bernoulli(rng, shape=images.shape[:-3])
    return jnp.where(coins[..., None, None, None], images[..., ::-1, :], images)


def random_shift(rng: Array, images: Array, most: int) -> Array:
    """Each image [H, W, C] moved by up to `most` pixels either way, the rim repeated."""
    if not most:
        return images
    b, h, w, c = images.shape
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), "edge")
    corners = jax.random.randint(rng, (b, 2), 0, 2 * most + 1)
    return jax.vmap(lambda x, at: jax.lax.dynamic_slice(x, (at[0], at[1], 0), (h, w, c)))(padded, corners)

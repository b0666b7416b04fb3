"""Gradient penalties on the discriminator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from compare_gan.core.registry import PENALTIES
from compare_gan.core.types import Array, PenaltyInputs

LIB = "compare_gan.gans.penalty_lib"


@PENALTIES.register("wgangp_penalty", module=LIB)
def wgangp_penalty(p: PenaltyInputs) -> Array:
    """Gradient norm one between real and fake images: Gulrajani et al., https://arxiv.org/abs/1704.00028."""
    alpha = p.uniform(1, 1, 1)
    return unit_norm_penalty(p.discriminator, p.real + alpha * (p.fake - p.real))


@PENALTIES.register("dragan_penalty", module=LIB)
def dragan_penalty(p: PenaltyInputs) -> Array:
    """Gradient norm one around real images: Kodali et al., https://arxiv.org/abs/1705.07215.

    As in compare_gan the noise is uniform and independent for each value, scaled by the standard
    deviation over all values of the batch (of the microbatch with gradient accumulation); the noisy images
    are clipped to [0, 1].
    """
    noise = p.uniform(*p.real.shape[1:]) - 0.5
    return unit_norm_penalty(p.discriminator, jnp.clip(p.real + p.real.std() * noise, 0.0, 1.0))


def unit_norm_penalty(discriminator: Callable[[Array], Array], x: Array) -> Array:
    """Mean squared difference between one and the norm of the gradient at each image of x [B, H, W, C]."""
    gradient = jax.grad(lambda x: discriminator(x).sum())(x)
    norm = jnp.sqrt(1e-4 + jnp.sum(gradient**2, (1, 2, 3)))
    return jnp.mean((norm - 1) ** 2)

"""Penalties on the slope of the discriminator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from compare_gan.core.registry import PENALTIES
from compare_gan.core.types import Array, PenaltyInputs

LIB = "compare_gan.gans.penalty_lib"


@PENALTIES.register("wgangp_penalty", module=LIB)
def wgangp_penalty(p: PenaltyInputs) -> Array:
    """Slope one between real and fake images: Gulrajani et al., https://arxiv.org/abs/1704.00028."""
    alpha = p.uniform(1, 1, 1)
    return unit_slope(p.discriminator, p.real + alpha * (p.fake - p.real))


@PENALTIES.register("dragan_penalty", module=LIB)
def dragan_penalty(p: PenaltyInputs) -> Array:
    """Slope one around real images: Kodali et al., https://arxiv.org/abs/1705.07215.

    As in compare_gan the noise is one uniform number for each value, scaled by the standard
    deviation of the whole batch, and the result is clipped to [0, 1].
    """
    noise = p.uniform(*p.real.shape[1:]) - 0.5
    return unit_slope(p.discriminator, jnp.clip(p.real + p.real.std() * noise, 0.0, 1.0))


def unit_slope(discriminator: Callable[[Array], Array], x: Array) -> Array:
    """Mean squared distance from one of the gradient's length at x [B, H, W, C]."""
    gradient = jax.grad(lambda x: discriminator(x).sum())(x)
    slope = jnp.sqrt(1e-4 + jnp.sum(gradient**2, (1, 2, 3)))
    return jnp.mean((slope - 1) ** 2)

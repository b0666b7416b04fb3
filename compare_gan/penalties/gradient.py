"""Gradient penalties on the discriminator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from compare_gan.core.partials import target_of
from compare_gan.core.registry import PENALTIES
from compare_gan.core.types import Array, Penalty, PenaltyInputs

LIB = "compare_gan.gans.penalty_lib"
BATCH_STATISTICS = (
    "the penalty needs the gradient at each image, but with D.batch_norm_fn the output for an image "
    "depends on the rest of the batch; with D.layer_norm it does not"
)


@PENALTIES.register("wgangp_penalty", module=LIB)
def wgangp_penalty(p: PenaltyInputs) -> Array:
    """Gradient norm one between real and fake images: Gulrajani et al., https://arxiv.org/abs/1704.00028."""
    return unit_norm_penalty(p.discriminator, interpolated(p))


@PENALTIES.register("maxgp_penalty")
def maxgp_penalty(p: PenaltyInputs) -> Array:
    """The largest squared gradient norm of the batch, between real and fake images.

    Zhou et al., https://arxiv.org/abs/1902.05687, without their average over steps, as in StudioGAN. With
    gradient accumulation it is the mean over microbatches.
    """
    return jnp.max(squared_norms(p.discriminator, interpolated(p)))


@PENALTIES.register("dragan_penalty", module=LIB)
def dragan_penalty(p: PenaltyInputs) -> Array:
    """Gradient norm one around real images: Kodali et al., https://arxiv.org/abs/1705.07215.

    As in compare_gan the noise is uniform and independent for each value, scaled by the standard
    deviation over all values of the batch (of the microbatch with gradient accumulation); the noisy images
    are clipped to [0, 1].
    """
    noise = p.uniform(*p.real.shape[1:]) - 0.5
    return unit_norm_penalty(p.discriminator, jnp.clip(p.real + p.real.std() * noise, 0.0, 1.0))


def interpolated(p: PenaltyInputs) -> Array:
    """A random point between each real image and a fake one."""
    return p.real + p.uniform(1, 1, 1) * (p.fake - p.real)


def squared_norms(discriminator: Callable[[Array], Array], x: Array) -> Array:
    """The squared norm [B] of the gradient at each image of x [B, H, W, C]."""
    gradient = jax.grad(lambda x: discriminator(x).sum())(x)
    return jnp.sum(gradient**2, (1, 2, 3))


def unit_norm_penalty(discriminator: Callable[[Array], Array], x: Array) -> Array:
    """Mean squared difference between one and the norm of the gradient at each image of x [B, H, W, C]."""
    norm = jnp.sqrt(1e-4 + squared_norms(discriminator, x))
    return jnp.mean((norm - 1) ** 2)


@PENALTIES.register("r1_penalty")
def r1_penalty(p: PenaltyInputs, interval: int = 1) -> Array:
    """Half the mean squared gradient norm at real images: Mescheder et al., https://arxiv.org/abs/1801.04406.

    `options.lamba` is their gamma. With an `interval` the penalty is computed in every interval-th step only,
    multiplied by `interval` (lazy regularization, Karras et al., https://arxiv.org/abs/1912.04958).
    """
    return lazily(p, interval, lambda: zero_centred(p.discriminator, p.real))


@PENALTIES.register("r2_penalty")
def r2_penalty(p: PenaltyInputs, interval: int = 1) -> Array:
    """`r1_penalty` at generated images."""
    return lazily(p, interval, lambda: zero_centred(p.discriminator, p.fake))


@PENALTIES.register("r1_r2_penalty")
def r1_r2_penalty(p: PenaltyInputs, interval: int = 1) -> Array:
    """The sum of `r1_penalty` and `r2_penalty`, as in R3GAN: Huang et al., https://arxiv.org/abs/2501.05441."""
    return lazily(
        p, interval, lambda: zero_centred(p.discriminator, p.real) + zero_centred(p.discriminator, p.fake)
    )


def is_gradient_penalty(penalty: Penalty) -> bool:
    """Whether a penalty is of this module; arguments may be bound by `functools.partial`."""
    return target_of(penalty) in GRADIENT_PENALTIES


def zero_centred(discriminator: Callable[[Array], Array], x: Array) -> Array:
    """Half the mean squared norm of the gradient at each image of x [B, H, W, C]."""
    return 0.5 * jnp.mean(squared_norms(discriminator, x))


def lazily(p: PenaltyInputs, interval: int, penalty: Callable[[], Array]) -> Array:
    """The penalty times `interval` in every interval-th step, else 0."""
    if interval == 1:
        return penalty()
    due = jnp.asarray(p.step) % interval == 0
    return jax.lax.cond(due, lambda: interval * penalty(), lambda: jnp.zeros(()))


GRADIENT_PENALTIES = (wgangp_penalty, maxgp_penalty, dragan_penalty, r1_penalty, r2_penalty, r1_r2_penalty)

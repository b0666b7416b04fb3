"""The four losses of compare_gan. Each maps logits [B] to the losses of both players."""

import jax
import jax.numpy as jnp

from compare_gan.core.registry import LOSSES
from compare_gan.core.types import Array, LossPair

LIB = "compare_gan.gans.loss_lib"


@LOSSES.register("non_saturating", module=LIB)
def non_saturating(real_logits: Array, fake_logits: Array) -> LossPair:
    """Goodfellow et al., https://arxiv.org/abs/1406.2661, section 3."""
    d = jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()
    return LossPair(d, jax.nn.softplus(-fake_logits).mean())


@LOSSES.register("minimax")
def minimax(real_logits: Array, fake_logits: Array) -> LossPair:
    """The saturating loss: the generator maximises what the discriminator minimises.

    Goodfellow et al., https://arxiv.org/abs/1406.2661, equation 1.
    """
    fake = jax.nn.softplus(fake_logits).mean()
    return LossPair(jax.nn.softplus(-real_logits).mean() + fake, -fake)


@LOSSES.register("hinge", module=LIB)
def hinge(real_logits: Array, fake_logits: Array) -> LossPair:
    """Lim and Ye, https://arxiv.org/abs/1705.02894."""
    d = jax.nn.relu(1 - real_logits).mean() + jax.nn.relu(1 + fake_logits).mean()
    return LossPair(d, -fake_logits.mean())


@LOSSES.register("wasserstein", module=LIB)
def wasserstein(real_logits: Array, fake_logits: Array) -> LossPair:
    """Arjovsky et al., https://arxiv.org/abs/1701.07875."""
    return LossPair(fake_logits.mean() - real_logits.mean(), -fake_logits.mean())


@LOSSES.register("least_squares", module=LIB)
def least_squares(real_logits: Array, fake_logits: Array) -> LossPair:
    """Mao et al., https://arxiv.org/abs/1611.04076, on probabilities as in compare_gan."""
    real, fake = jax.nn.sigmoid(real_logits), jax.nn.sigmoid(fake_logits)
    return LossPair(0.5 * (jnp.mean((real - 1) ** 2) + jnp.mean(fake**2)), 0.5 * jnp.mean((fake - 1) ** 2))

"""The four losses at fixed logits, with their gradients."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from compare_gan.core.registry import LOSSES

from ..reference import Case, Deviation, deviation
from ..runner import handles

CLOSE = 1e-6


@handles("losses")
def losses(case: Case) -> Iterator[Deviation]:
    real, fake = (jnp.asarray(case.arrays[f"d_{side}_logits"][:, 0]) for side in ("real", "fake"))
    for side, logits in (("real", real), ("fake", fake)):
        if f"d_{side}" in case.arrays:
            yield deviation(f"d_{side}", case.arrays[f"d_{side}"][:, 0], jax.nn.sigmoid(logits), CLOSE)
    for name in sorted({key.split("/")[0] for key in case.arrays if "/" in key}):
        pair, pull_back = jax.vjp(LOSSES[name], real, fake)
        one, zero = jnp.ones(()), jnp.zeros(())
        d_real, d_fake = pull_back(pair._replace(d=one, g=zero))
        g_real, g_fake = pull_back(pair._replace(d=zero, g=one))
        d_loss, d_loss_real, d_loss_fake, g_loss = case.arrays[f"{name}/values"]
        yield deviation(f"{name}/values", [d_loss, g_loss], [pair.d, pair.g], CLOSE)
        # compare_gan reports least squares' parts without the half that stands before their sum.
        halves = (d_loss_real + d_loss_fake) * (0.5 if name == "least_squares" else 1.0)
        yield deviation(f"{name}/values, sum of parts", halves, pair.d, CLOSE)
        for key, ours in (("ddloss_dreal", d_real), ("ddloss_dfake", d_fake), ("dgloss_dfake", g_fake)):
            yield deviation(f"{name}/grad_{key}", case.arrays[f"{name}/grad_{key}"][:, 0], ours, CLOSE)
        yield deviation(f"{name}, real images and the generator", jnp.zeros_like(g_real), g_real, 0)

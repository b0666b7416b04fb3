"""The four losses at fixed logits, with their gradients, and the penalties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.registry import LOSSES
from compare_gan.core.types import Array, PenaltyInputs
from compare_gan.nn.norms import LayerNorm
from compare_gan.nn.state import bind

from . import build
from .names import at, filled, place
from .reference import Case, Deviation, check, deviation, load, uniform


@pytest.mark.parametrize("name", ["non_saturating", "hinge", "wasserstein", "least_squares"])
def test_loss(name):
    case = load("losses_normal_logits")
    real, fake = (jnp.asarray(case.arrays[f"d_{side}_logits"][:, 0]) for side in ("real", "fake"))
    pair, pull_back = jax.vjp(LOSSES[name], real, fake)
    d_loss, _, _, g_loss = case.arrays[f"{name}/values"]
    one, zero = jnp.ones(()), jnp.zeros(())
    d_real, d_fake = pull_back(pair._replace(d=one, g=zero))
    g_real, g_fake = pull_back(pair._replace(d=zero, g=one))
    gradients = {"ddloss_dreal": d_real, "ddloss_dfake": d_fake, "dgloss_dfake": g_fake}
    check(
        [
            deviation(f"{name} d", d_loss, pair.d, 1e-6),
            deviation(f"{name} g", g_loss, pair.g, 1e-6),
            *(
                deviation(f"{name} {key}", case.arrays[f"{name}/grad_{key}"][:, 0], ours, 1e-6)
                for key, ours in gradients.items()
            ),
        ]
    )
    assert not np.any(g_real)


PENALTIES = (
    "penalty_wgangp_penalty_resnet_cifar",
    "penalty_dragan_penalty_resnet_cifar",
    "penalty_l2_penalty_resnet_cifar",
    "penalty_no_penalty_resnet_cifar",
)


def given_coefficients(rng: Array, shape: tuple[int, ...]) -> Array:
    """In the place of `jax.random.uniform`: what was put in the place of TensorFlow's."""
    del rng
    return jnp.asarray(uniform(77, shape))


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty(name, monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", given_coefficients)
    check(penalty_deviations(load(name)))


def test_penalty_through_layer_norm(monkeypatch):
    """TensorFlow's moments hold the mean constant inside the variance.

    That leaves first derivatives right and second ones, which the penalty's gradient needs,
    off by some 1e-4 of their size. With that put in here the numbers are the same.
    """
    monkeypatch.setattr(jax.random, "uniform", given_coefficients)
    case = load("penalty_wgangp_resnet_cifar_layernorm")

    def as_tensorflow(self, x):
        axes = tuple(range(1, x.ndim))
        mean = x.mean(axes, keepdims=True)
        variance = jnp.mean((x - jax.lax.stop_gradient(mean)) ** 2, axes, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-12) * self.gamma[...] + self.beta[...]

    monkeypatch.setattr(LayerNorm, "__call__", as_tensorflow)
    check(penalty_deviations(case))


def penalty_deviations(case: Case) -> list[Deviation]:
    gan = build.gan(case)
    state = filled(
        gan.abstract_d, case.meta["D_variables"], lambda name: place(name, case.meta["architecture"])
    )

    @jax.jit
    def penalty(params):
        def discriminator(images):
            return bind(gan.d_def, params, state.extra)(images, None, (), train=True).logits

        return gan.penalty(
            PenaltyInputs(discriminator, params, case.images, case.generated, jax.random.key(0))
        )

    value, gradient = jax.value_and_grad(penalty)(state.params)
    found = [deviation(case.name, case.arrays["penalty"], value, 1e-6)]
    return found + gradient_deviations(case, "grad/", case.meta["grad_l2_norms"], gradient)


def gradient_deviations(case: Case, prefix: str, lengths: dict[str, float], gradient) -> list[Deviation]:
    """Small gradients in full and the lengths of all; floats near zero count beside the longest."""
    found, longest = [], max(lengths.values(), default=0.0)
    for name, value in case.named(prefix):
        ours = at(gradient, place(name, case.meta["architecture"]))
        found.append(deviation(f"{case.name} {prefix}{name}", value, ours, 1e-5, 1e-7 * longest))
    for name, length in lengths.items():
        ours = np.linalg.norm(np.ravel(at(gradient, place(name, case.meta["architecture"]))))
        found.append(deviation(f"{case.name} length of {name}", length, ours, 1e-5, 1e-6 * longest))
    return found

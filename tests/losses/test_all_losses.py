"""What holds for every loss that is registered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import compare_gan.losses  # noqa: F401  registers
from compare_gan.core.registry import LOSSES

REAL, FAKE = (np.random.RandomState(seed).standard_normal(11).astype(np.float32) for seed in (0, 1))


@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_finite_scalars_with_finite_gradients(name, scale):
    for player in (0, 1):
        value, gradients = jax.value_and_grad(lambda r, f, p=player: LOSSES[name](r, f)[p], (0, 1))(
            scale * REAL, scale * FAKE
        )
        assert value.shape == () and value.dtype == jnp.float32
        assert all(np.all(np.isfinite(x)) for x in (value, *gradients))


@pytest.mark.parametrize("name", list(LOSSES))
def test_the_order_of_images_does_not_matter(name):
    order = np.random.RandomState(2).permutation(11)
    fake = FAKE[order] if name == "relativistic" else FAKE  # which compares pairs
    for one, two in zip(LOSSES[name](REAL, FAKE), LOSSES[name](REAL[order], fake), strict=True):
        assert float(one) == pytest.approx(float(two), abs=1e-6)


@pytest.mark.parametrize("name", list(LOSSES))
def test_the_players_pull_apart(name):
    """The discriminator gains from higher real logits and lower fake ones, the generator from higher."""
    at_zero = jnp.zeros(4)
    d_real, d_fake = jax.grad(lambda r, f: LOSSES[name](r, f).d, (0, 1))(at_zero, at_zero)
    g_fake = jax.grad(lambda f: LOSSES[name](at_zero, f).g)(at_zero)
    assert np.all(d_real < 0) and np.all(d_fake > 0) and np.all(g_fake < 0)


def test_closed_forms():
    r, f = REAL.astype(np.float64), FAKE.astype(np.float64)
    expected = {
        "non_saturating": (-np.log(expit(r)).mean() - np.log(expit(-f)).mean(), -np.log(expit(f)).mean()),
        "minimax": (-np.log(expit(r)).mean() - np.log(expit(-f)).mean(), np.log(expit(-f)).mean()),
        "hinge": (np.clip(1 - r, 0, None).mean() + np.clip(1 + f, 0, None).mean(), -f.mean()),
        "wasserstein": (f.mean() - r.mean(), -f.mean()),
        "least_squares": (
            ((expit(r) - 1) ** 2).mean() / 2 + (expit(f) ** 2).mean() / 2,
            ((expit(f) - 1) ** 2).mean() / 2,
        ),
    }
    for name, pair in expected.items():
        np.testing.assert_allclose(LOSSES[name](REAL, FAKE), pair, rtol=1e-5, atol=1e-6)

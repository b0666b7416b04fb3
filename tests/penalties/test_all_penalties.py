"""What holds for every penalty that is registered, and closed forms for linear discriminators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import compare_gan.penalties  # noqa: F401  registers
from compare_gan.core.registry import PENALTIES
from compare_gan.core.types import PenaltyInputs
from compare_gan.penalties.gradient import unit_norm_penalty

REAL, FAKE = (np.random.RandomState(seed).uniform(size=(6, 3, 4, 2)).astype(np.float32) for seed in (0, 1))
PARAMS = {"fc": {"kernel": jnp.full((3, 4, 2), 0.5), "bias": jnp.zeros(())}}


def inputs(
    params=PARAMS, score=lambda params, x: jnp.tanh(x * params["fc"]["kernel"]).sum((1, 2, 3)), seed=0
):
    return PenaltyInputs(lambda x: score(params, x), params, REAL, FAKE, jax.random.key(seed))


@pytest.mark.parametrize("name", list(PENALTIES))
def test_finite_with_finite_gradients(name):
    value, gradient = jax.value_and_grad(lambda params: PENALTIES[name](inputs(params)))(PARAMS)
    assert value.shape == () and value >= 0
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", ["wgangp_penalty", "dragan_penalty"])
def test_the_slope_of_a_linear_discriminator(name):
    direction = np.random.RandomState(2).standard_normal((3, 4, 2)).astype(np.float32)
    found = PENALTIES[name](inputs(score=lambda _, x: (x * direction).sum((1, 2, 3))))
    length = np.sqrt(np.sum(direction.astype(np.float64) ** 2) + 1e-4)
    assert float(found) == pytest.approx((length - 1) ** 2, rel=1e-5)


def test_where_the_slope_is_taken():
    """The penalty of D(x) = |x|^2 / 2 tells the distance of the points from the origin."""

    def distance(name, seed):
        seen = []

        def score(_, x):
            seen.append(jax.lax.stop_gradient(x))
            return 0.5 * (x**2).sum((1, 2, 3))

        with jax.disable_jit():
            PENALTIES[name](inputs(score=score, seed=seed))
        x = seen[-1]
        while hasattr(x, "primal"):
            x = x.primal
        return np.asarray(x)

    between = distance("wgangp_penalty", 0)
    share = (between - REAL) / (FAKE - REAL)
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1, :1, :1], share.shape), atol=1e-3)
    assert np.all((share > -1e-3) & (share < 1 + 1e-3)) and np.ptp(share[:, 0, 0, 0]) > 0.1
    around = distance("dragan_penalty", 0)
    assert around.min() >= 0 and around.max() <= 1
    assert 0 < np.abs(around - REAL).max() <= 0.5 * REAL.std() + 1e-6
    assert np.abs(distance("dragan_penalty", 1) - around).max() > 0.01


def test_the_largest_slope_of_a_batch():
    """Of D(x) = s |x|^2 / 2 with a steepness s for each image, whose gradient is s x; all x are equal."""
    steepness = np.float32([1, 3, 2, 0, 1, 2]).reshape(-1, 1, 1, 1)
    same = np.full_like(REAL, 0.5)
    given = PenaltyInputs(lambda x: (steepness * x**2 / 2).sum((1, 2, 3)), {}, same, same, jax.random.key(0))
    assert float(PENALTIES["maxgp_penalty"](given)) == pytest.approx(9 * 0.25 * REAL[0].size, rel=1e-5)


def test_unit_norm_penalty_of_a_bowl():
    expected = np.mean((np.sqrt(1e-4 + np.sum(REAL.astype(np.float64) ** 2, (1, 2, 3))) - 1) ** 2)
    assert float(unit_norm_penalty(lambda x: 0.5 * (x**2).sum((1, 2, 3)), REAL)) == pytest.approx(
        expected, rel=1e-5
    )


def test_weights():
    params = {
        "a": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 9.0)},
        "b": {"kernel": jnp.ones((4,))},
    }
    assert float(PENALTIES["l2_penalty"](inputs(params))) == pytest.approx((0.5 * 24 + 0.5 * 4) / 2)
    assert float(PENALTIES["no_penalty"](inputs(params))) == 0

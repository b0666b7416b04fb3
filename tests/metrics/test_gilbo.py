"""GILBO of generators with known mutual information."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from compare_gan.gans.sampling import normal, uniform
from compare_gan.metrics.context import Generator
from compare_gan.metrics.gilbo import (
    Betas,
    consistency,
    divergence,
    estimate_cdf,
    log_density,
    lower_bound,
    train_latent_encoder,
)

KEY = jax.random.key(0)


def prior(draw, rng, count):
    return draw(rng, (count, 2))


def signs(state, z, y):
    """4x4 images whose halves encode the signs of two coordinates."""
    return (
        jnp.repeat((z > 0).astype(jnp.float32), 2, axis=1)[:, None, :, None] * jnp.ones((1, 4, 1, 1))
        + 0 * state
    )


def nothing(state, z, y):
    return jnp.full((len(z), 4, 4, 1), 0.5)


def best_bound():
    """Of a Beta distribution with parameters above 1, for a uniform number in the upper half of [0, 1]."""
    u = (np.arange(10**4) + 0.5) / 10**4 / 2 + 0.5

    def loss(parameters):
        return -scipy.stats.beta.logpdf(u, *(1 + np.exp(parameters))).mean()

    return -scipy.optimize.minimize(loss, [1.5, 0.0], method="Nelder-Mead").fun


@pytest.mark.slow
def test_decodes_signs():
    generator = Generator(
        signs, jnp.zeros(()), functools.partial(prior, functools.partial(normal, stddev=3.0))
    )
    encoder = train_latent_encoder(generator, KEY, steps=150)
    found = lower_bound(encoder, generator, jax.random.key(1), batches=40)
    assert found == pytest.approx(2 * best_bound(), rel=0.1)
    assert found < 2 * np.log(2)  # the information


def test_is_zero_for_constant_images():
    generator = Generator(nothing, jnp.zeros(()), functools.partial(prior, uniform), num_classes=3)
    encoder = train_latent_encoder(generator, KEY, steps=20)
    assert -0.05 < lower_bound(encoder, generator, jax.random.key(1)) < 0.005
    grey = np.full((7, 4, 4, 1), 128, np.uint8)
    found = consistency(encoder, generator, [grey, grey], np.random.default_rng(0))
    assert found == pytest.approx([0, 0], abs=1e-4)


def test_log_density_and_divergence_agree_with_scipy():
    p, q = (
        Betas(np.array([[1.5, 3.0]]), np.array([[2.0, 1.2]])),
        Betas(np.array([[4.0, 1.1]]), np.array([[2.5, 6.0]])),
    )
    u = np.array([[0.3, 0.8]])
    assert log_density(p, u) == pytest.approx(scipy.stats.beta.logpdf(u, p.a, p.b).sum(), rel=1e-5)

    def of_one(i):
        one, other = scipy.stats.beta(p.a[0, i], p.b[0, i]), scipy.stats.beta(q.a[0, i], q.b[0, i])
        return scipy.integrate.quad(lambda u: one.pdf(u) * (one.logpdf(u) - other.logpdf(u)), 0, 1)[0]

    assert divergence(p, q)[0] == pytest.approx(of_one(0) + of_one(1), rel=1e-6)
    assert divergence(p, p)[0] == pytest.approx(0, abs=1e-12)


def test_the_cdf_of_the_prior():
    cdf = estimate_cdf(functools.partial(prior, normal), KEY)
    z = np.array([-1.5, 0.0, 0.3, 2.0])
    np.testing.assert_allclose(cdf.forward(z), scipy.stats.norm.cdf(z), atol=3e-3)
    np.testing.assert_allclose(cdf.inverse(cdf.forward(z)), z, atol=1e-3)

"""Priors by TensorFlow's names have the distributions of their parameters."""

import functools

import jax
import numpy as np
import pytest
import scipy.stats

from compare_gan.core.errors import UserError
from compare_gan.gans.sampling import categorical, gamma, poisson

from .tiny import tiny_gan

LOGITS = (0.0, float(np.log(3)), float(np.log(4)))
THREE_CLASSES = scipy.stats.rv_discrete(values=([0, 1, 2], [1 / 8, 3 / 8, 1 / 2]))


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        (functools.partial(gamma, alpha=2.5), scipy.stats.gamma(2.5)),
        (functools.partial(gamma, alpha=0.5, beta=3.0), scipy.stats.gamma(0.5, scale=1 / 3)),
        (functools.partial(poisson, lam=3.5), scipy.stats.poisson(3.5)),
        (functools.partial(categorical, logits=LOGITS), THREE_CLASSES),
    ],
)
def test_a_prior_has_its_distribution(prior, expected):
    z = np.asarray(prior(jax.random.key(0), (100, 80)))
    assert z.dtype == np.float32 and z.shape == (100, 80)
    points = np.quantile(z, [0.1, 0.3, 0.5, 0.7, 0.9])
    cdf = expected.cdf(points)
    found = (z[..., None] <= points).mean((0, 1))
    assert np.all(np.abs(found - cdf) <= 4 * np.sqrt(cdf * (1 - cdf) / z.size))
    assert abs(np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1]) < 4 / np.sqrt(z.size)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (functools.partial(gamma, alpha=0.0), "alpha 0.0 and beta 1.0; both must be more than 0"),
        (functools.partial(gamma, alpha=1.0, beta=-1.0), "alpha 1.0 and beta -1.0; both"),
        (functools.partial(poisson, lam=-1.0), "lam is -1.0; it must be at least 0"),
        (functools.partial(categorical, logits=()), "logits is empty"),
    ],
)
def test_invalid_parameters_are_refused(prior, message):
    with pytest.raises(UserError, match=message):
        tiny_gan(prior=prior).validate()

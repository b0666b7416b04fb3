"""Images by seed and index, and truncated latent vectors."""

import numpy as np
import pytest
from scipy import stats

from compare_gan.core.errors import UserError
from compare_gan.core.sampler import NotFinite, Sampler, truncate
from compare_gan.gans.sampling import describe_prior, latents, normal, uniform

STANDARD = {"name": "normal", "mean": 0.0, "stddev": 1.0}
SHAPE = (2, 3, 3)


@pytest.mark.parametrize("threshold", [0.04, 0.5, 1.0, 2.0, 4.0])
def test_truncation_is_the_inverse_cdf_of_a_truncated_gaussian(threshold):
    z = np.concatenate([np.linspace(-6, 6, 201), [-30, 30]]).astype(np.float32)
    truncated = np.asarray(truncate(z, STANDARD, threshold))
    lower = stats.truncnorm.ppf(stats.norm.cdf(-np.abs(z.astype(np.float64))), -threshold, threshold)
    np.testing.assert_allclose(truncated, -np.sign(z) * lower, rtol=1e-4, atol=1e-6)
    assert (np.diff(truncated[:-2]) >= 0).all() and np.abs(truncated).max() <= threshold


def test_truncation_has_the_distribution_of_resampling():
    rng = np.random.default_rng(0)
    resampled = rng.normal(size=20_000)
    while (beyond := np.abs(resampled) > 0.8).any():
        resampled[beyond] = rng.normal(size=beyond.sum())
    truncated = np.asarray(truncate(rng.normal(size=20_000).astype(np.float32), STANDARD, 0.8))
    assert stats.ks_2samp(resampled, truncated).pvalue > 0.01


def test_the_threshold_is_in_standard_deviations_of_the_prior():
    z, prior = np.linspace(-3, 3, 7, dtype=np.float32), {"name": "normal", "mean": 5.0, "stddev": 0.5}
    expected = 5 + 0.5 * np.asarray(truncate(z, STANDARD, 1.5))
    np.testing.assert_allclose(truncate(5 + 0.5 * z, prior, 1.5), expected, rtol=1e-5)


def sampler(prior, generator=None):
    """A sampler whose images show their latent vectors, in [-4, 4]."""
    draw = generator or (lambda z: np.broadcast_to(z[:, None, None] / 8 + 0.5, (len(z), *SHAPE)))
    described = describe_prior(prior)
    return Sampler(lambda *args: np.asarray(latents(prior, 3, *args)), draw, (), SHAPE, described)


def test_images_of_a_seed_do_not_depend_on_their_number_and_truncation_limits_them():
    each = sampler(normal)
    many, _ = each.images(1200, 7)
    np.testing.assert_array_equal(each.images(5, 7)[0], many[:5])
    values = (many / 255 - 0.5) * 8
    assert np.abs(values).max() > 2 and values.std() == pytest.approx(1, abs=0.05)
    truncated = (each.images(1200, 7, truncation=1.0)[0] / 255 - 0.5) * 8
    assert np.abs(truncated).max() <= 1.02 and (np.sign(truncated) == np.sign(values)).all()


@pytest.mark.parametrize(
    "prior, threshold, expected",
    [
        (uniform, 0.5, "--truncation needs a Gaussian prior, but latent vectors are from uniform"),
        (lambda rng, shape: normal(rng, shape), 0.5, "latent vectors are from .*lambda"),
        (normal, 0.0, "--truncation is 0.0; it must be more than 0"),
        (normal, float("inf"), "--truncation is inf"),
    ],
)
def test_truncation_that_does_not_apply(prior, threshold, expected):
    with pytest.raises(UserError, match=expected):
        sampler(prior).images(2, 0, truncation=threshold)


def test_images_with_nan():
    with pytest.raises(NotFinite, match="NaN or Inf"):
        sampler(normal, lambda z: np.full((len(z), *SHAPE), np.nan)).images(2, 0)


def test_classes_by_index_and_by_name():
    def index(label, *names):
        return Sampler(None, None, names, SHAPE).class_index(label)

    assert [index(each, "cat", "7", "1") for each in ("cat", "7", "1", "0", 1, np.int64(2))] == [
        0,
        1,
        2,
        0,
        1,
        2,
    ]
    assert index(1, "3", "7", "42") == 1 and index("42", "3", "7", "42") == 2
    for label, expected in ((3, "label 3: no such class; there are 3 classes, from 0"), (-1, "label -1")):
        with pytest.raises(UserError, match=expected):
            index(label, "cat", "dog", "cow")
    with pytest.raises(UserError, match="label dgo: no such class; did you mean 'dog'"):
        index("dgo", "cat", "dog")

"""Every registered metric and its metadata."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.registry import METRICS
from compare_gan.core.types import DiscriminatorOut
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.gans.sampling import uniform
from compare_gan.metrics import classification_accuracy_score, gilbo
from compare_gan.metrics.context import NEEDS, EvalContext, Generator, ImageSet, check, features_first

COMPARE_GANS = (  # the columns of its scores.csv
    "fid_score inception_score kid_score ms_ssim fractal_dimension gilbo gilbo_train_consistency "
    "gilbo_eval_consistency gilbo_self_consistency log_condition_number_count log_condition_number_mean "
    "log_condition_number_std train_accuracy test_accuracy fake_accuracy"
)
ALL = set(NEEDS)


def apply(state, z, y):
    x = jax.nn.sigmoid(z @ state + y @ jnp.ones((2, 1)))
    return x.reshape(len(z), 8, 8, 1)


def discriminator(images, labels):
    flat = images.reshape(len(images), -1) / 255.0
    return DiscriminatorOut(flat.mean(1) - 0.5, flat[:, :6], {})


@pytest.fixture(scope="module")
def context():
    """A context with all inputs."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(64, 5)).astype(np.float32) / 255

    def extractor(images):
        features = np.asarray(images[:]).reshape(len(images), -1) @ mix
        return FeaturesAndClasses(features, features[:, :2])

    def drawn(n):
        images = rng.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
        return ImageSet(images, np.arange(n) % 2, extractor)

    state = jnp.asarray(rng.normal(size=(3, 64)), jnp.float32)
    generator = Generator(apply, state, lambda key, count: uniform(key, (count, 3)), 2)
    return EvalContext(drawn(130), drawn(140), drawn(150), generator, discriminator)


@functools.cache
def scores(name, ctx):
    return METRICS[name].compute(ctx)


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_fills_its_columns(name, context, monkeypatch):
    monkeypatch.setattr(gilbo, "train_latent_encoder", functools.partial(gilbo.train_latent_encoder, steps=2))
    monkeypatch.setattr(
        classification_accuracy_score,
        "fit_classifier",
        functools.partial(classification_accuracy_score.fit_classifier, steps=2, width=4),
    )
    assert METRICS[name].needs and METRICS[name].needs <= ALL
    found = scores(name, context)
    assert tuple(found) == METRICS[name].columns
    assert all(np.isfinite(value) for value in found.values())


def test_columns_are_compare_gans_and_no_two_metrics_share_one():
    columns = [column for name in METRICS for column in METRICS[name].columns]
    assert len(columns) == len(set(columns))
    assert set(COMPARE_GANS.split()) <= set(columns)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].needs <= {"summary", "features"}])
def test_metrics_that_need_only_features(name, context):
    real, fake = (ImageSet.of_features(s.outputs.features, s.labels) for s in (context.real, context.fake))
    found = METRICS[name].compute(EvalContext(real, fake))
    assert found == pytest.approx(
        scores(name, context), rel=1e-9
    )  # nothing is drawn from a state that moves on


def test_missing_inputs_are_reported_before_long_work():
    check(["fid_score", "kid_score"], {"summary", "features"})
    with pytest.raises(
        UserError, match="the metric gilbo needs images and training images and a generator; leave"
    ):
        check(["fid_score", "gilbo"], {"summary", "features"})
    with pytest.raises(UserError, match="unknown metric 'fid'"):
        check(["fid"], ALL)


def test_metrics_that_need_all_features_come_first():
    assert features_first(["fid_score", "kid_score", "inception_score", "prd"]) == [
        "kid_score",
        "prd",
        "fid_score",
        "inception_score",
    ]

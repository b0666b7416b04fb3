"""The Frechet distance against SciPy's matrix root, closed forms, and itself."""

import numpy as np
import pytest
import scipy.linalg

from compare_gan.features.encoder import EncoderOut
from compare_gan.metrics.agreement import agreement, class_agreement
from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.frechet import frechet_distance, frechet_distance_of, moments


def features(seed, n=300, dim=12, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (n, dim)) @ rng.normal(size=(dim, dim))


def test_agrees_with_scipys_matrix_root():
    (m1, c1), (m2, c2) = moments(features(0)), moments(features(1, shift=0.5))
    root = scipy.linalg.sqrtm(c1 @ c2).real
    expected = np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * root)
    assert frechet_distance(m1, c1, m2, c2) == pytest.approx(expected, rel=1e-9)


def test_of_gaussians_with_commuting_covariances():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    expected = 3.0 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert frechet_distance(np.zeros(3), np.diag(a), np.ones(3), np.diag(b)) == pytest.approx(expected)


def test_of_singular_covariances():
    singular = np.diag([1.0, 0.0])
    assert frechet_distance(np.zeros(2), singular, np.zeros(2), np.eye(2)) == pytest.approx(1.0)
    few = features(2, n=5)
    assert frechet_distance(*moments(few), *moments(few)) == pytest.approx(0.0, abs=1e-6)


def extractor_returning(logits, dim=4):
    logits = np.asarray(logits, np.float32)
    return lambda images: EncoderOut(
        images.reshape(len(images), -1)[:, :dim].astype(np.float32), None, logits[: len(images)]
    )


def test_features_are_computed_once():
    calls = []

    def extractor(images):
        calls.append(len(images))
        return extractor_returning(np.zeros((100, 3)))(images)

    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (64, 2, 2, 1), dtype=np.uint8)
    context = EvalContext(ImageSet(images, None, extractor), ImageSet(images + np.uint8(10), None, extractor))
    assert frechet_distance_of(context)["frechet_distance"] == pytest.approx(4 * 100, rel=1e-6)
    assert class_agreement(context) == {"class_agreement": None}
    assert calls == [64, 64]


def test_agreement_counts():
    assert agreement(np.eye(4)[[0, 1, 2, 3, 0]], np.array([0, 1, 2, 0, 0])) == pytest.approx(0.8)
    images = np.zeros((3, 2, 2, 1), np.uint8)
    fake = ImageSet(images, np.array([0, 1, 1]), extractor_returning(np.eye(2)[[0, 0, 1]]))
    assert class_agreement(EvalContext(fake, fake))["class_agreement"] == pytest.approx(2 / 3)

"""The classifier learns the labels of generated images, correct or not."""

import functools

import numpy as np
import pytest

from compare_gan.metrics import classification_accuracy_score as module
from compare_gan.metrics.context import EvalContext, ImageSet


def shades(seed, n=60):
    """Dark images of class 0 and bright ones of class 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return (60 + 130 * labels[:, None, None, None] + rng.integers(-40, 40, (n, 8, 8, 1))).astype(
        np.uint8
    ), labels


@pytest.fixture(autouse=True)
def small(monkeypatch):
    quick = functools.partial(module.fit_classifier, steps=40, width=4)
    monkeypatch.setattr(module, "fit_classifier", quick)


def score(real, fake):
    ctx = EvalContext(ImageSet(*real, None), ImageSet(*fake, None))
    return module.classification_accuracy_score(ctx)["classification_accuracy_score"]


def test_swapped_labels_are_learned():
    (fake, labels), (real, true) = shades(0), shades(1)
    unlabelled = np.where(np.arange(60) < 20, -1, true)  # these do not count
    assert score((real, unlabelled), (fake, 1 - labels)) < 0.05
    assert score((real, np.where(unlabelled < 0, -1, 1 - true)), (fake, 1 - labels)) > 0.95


def test_without_labels():
    images, labels = shades(0)
    assert score((images, None), (images, labels)) is None
    assert score((images, labels), (images, None)) is None
    assert score((images, np.full(60, -1)), (images, labels)) is None

"""Metrics of a discriminator."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.types import DiscriminatorOut
from compare_gan.metrics.context import BATCH, EvalContext, ImageSet
from compare_gan.metrics.discriminator_accuracy import accuracy, discriminator_accuracy
from compare_gan.metrics.linear_probe import linear_probe, probe_accuracy


def images(*values):
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 2, 2, 1))


def bright_is_real(images, labels):
    """Features are the pixels."""
    assert len(images) <= BATCH
    flat = images.reshape(len(images), -1) / 255.0
    return DiscriminatorOut(flat.mean(1) - 0.5, flat, {})


def given(values, labels=None):
    return ImageSet(images(*values), None if labels is None else np.array(labels), lambda x: x)


def test_accuracy_is_the_fraction_of_correct_signs():
    logits = np.array([1.0, 0.0, -1.0, -2.0])
    assert (accuracy(logits, True), accuracy(logits, False)) == (0.5, 0.5)


def test_accuracy_on_all_three_sets():
    ctx = EvalContext(
        given([200, 20]), given([10] * 3 + [250]), given([255] * (BATCH + 5)), None, bright_is_real
    )
    assert discriminator_accuracy(ctx) == {"train_accuracy": 1, "test_accuracy": 0.5, "fake_accuracy": 0.75}


def test_a_context_without_a_discriminator():
    with pytest.raises(UserError, match="a metric needs a discriminator"):
        discriminator_accuracy(EvalContext(given([1]), given([1])))


def clusters(n=90, seed=0):
    """Three classes that one feature separates; another feature is constant."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return np.stack([1e4 * (labels + 0.1 * rng.normal(size=n)), np.ones(n), rng.normal(size=n)], 1), labels


def test_a_probe_finds_linearly_separable_classes():
    train, labels = clusters()
    test, test_labels = clusters(30, seed=1)
    assert probe_accuracy(train, labels, test, test_labels) == 1
    assert probe_accuracy(train[:, 1:], labels, test[:, 1:], test_labels) < 0.7


def test_a_probe_ignores_unlabelled_images():
    train, labels = clusters()
    test, test_labels = clusters(30, seed=1)
    wrong = np.concatenate([labels, np.full(90, -1)])
    assert probe_accuracy(np.concatenate([train, train[::-1]]), wrong, test, test_labels) == 1


def test_a_probe_of_one_class():
    train, _ = clusters()
    with pytest.raises(UserError, match="labels of two classes"):
        probe_accuracy(train, np.zeros(90, int), train, np.zeros(90, int))


def test_the_probed_discriminator_gets_no_labels():
    def spying(x, labels):
        assert labels is None
        return bright_is_real(x, labels)

    train, real = given([10, 100, 240] * 9, [0, 1, 2] * 9), given([20, 110, 230], [0, 1, 2])
    ctx = EvalContext(real, given([0]), train, None, spying)
    assert linear_probe(ctx) == {"linear_probe_accuracy": 1}
    unlabelled = EvalContext(given([20, 110]), given([0]), train, None, spying)
    assert linear_probe(unlabelled) == {"linear_probe_accuracy": None}

"""The Inception score for known cases, and by entropies."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from compare_gan.metrics.inception_score import inception_score


def test_is_one_for_uniform_logits():
    assert inception_score(np.full((7, 5), 3.0)) == pytest.approx(1)


@pytest.mark.parametrize("size", [50.0, 5000.0])
def test_is_the_number_of_classes_for_certain_balanced_logits(size):
    assert inception_score(size * np.tile(np.eye(6), (3, 1))) == pytest.approx(6)


def test_is_one_for_a_single_class():
    assert inception_score(1000 * np.eye(6)[[2, 2, 2]]) == pytest.approx(1)


def test_is_the_mutual_information_of_image_and_class():
    logits = np.random.default_rng(0).normal(0, 2, (50, 8)).astype(np.float32)
    p = scipy.special.softmax(logits.astype(np.float64), axis=1)
    information = scipy.stats.entropy(p.mean(0)) - scipy.stats.entropy(p, axis=1).mean()
    assert inception_score(logits) == pytest.approx(np.exp(information), rel=1e-12)

"""The Vendi score in closed forms; Vendi-Score's values are in test_references."""

import numpy as np
import pytest

from compare_gan.metrics.vendi import vendi_score


def test_of_equal_and_of_orthogonal_samples():
    assert vendi_score(np.ones((7, 3), np.float32)) == pytest.approx(1)
    assert vendi_score(np.eye(5)) == pytest.approx(5)
    assert vendi_score(np.repeat(np.eye(5), [2, 2, 2, 2, 2], axis=0)) == pytest.approx(5)


def test_of_two_samples_at_an_angle():
    """The eigenvalues of K / 2 are (1 +- cos) / 2."""
    p = (1 + np.array([0.6, -0.6])) / 2
    assert vendi_score(np.array([[1.0, 0], [6, 8]])) == pytest.approx(np.exp(-(p * np.log(p)).sum()))


def test_is_that_of_unequal_shares_of_orthogonal_samples():
    shares = np.array([0.5, 0.3, 0.2])
    features = np.repeat(np.eye(3), [50, 30, 20], axis=0)
    assert vendi_score(features) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_both_forms_agree(monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 30))
    wide = np.concatenate([x, np.zeros((40, 20))], axis=1)  # more features than samples
    monkeypatch.setattr("compare_gan.metrics.vendi.BATCH", 7)
    assert vendi_score(x) == pytest.approx(vendi_score(wide), rel=1e-10)

"""Distances in matched class shares, and the spread within classes."""

import numpy as np
import pytest

from compare_gan.features.base import FeaturesAndClasses
from compare_gan.metrics.class_shares import (
    class_matched_distance,
    share_weights,
    weighted_moments,
    within_class_spread,
)
from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.frechet import distance_of_features

CENTRES = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])


def image_set(counts, seed, scale=1.0, labelled=True):
    """Images of three well separated classes, which the extractor recognises."""
    labels = np.repeat(np.arange(3), counts)
    features = CENTRES[labels] + scale * np.random.default_rng(seed).normal(size=(len(labels), 3))
    found = FeaturesAndClasses(features, np.eye(3)[labels])
    return ImageSet(features, labels if labelled else None, lambda images: found, extracted=found)


def context(real, fake):
    return EvalContext(real, fake)


def test_weights_give_the_wanted_shares():
    classes, wanted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 2])
    weights = share_weights(classes, wanted)
    np.testing.assert_allclose([weights[classes == k].sum() for k in range(3)], [0.25, 0.5, 0.25])
    np.testing.assert_allclose(share_weights(np.array([0, 0]), np.array([0, 1])), [0.5, 0.5])  # 1 is missing
    np.testing.assert_allclose(share_weights(np.array([0, 0]), np.array([1])), [0.5, 0.5])


def test_weighted_moments_are_those_of_numpy():
    x = np.random.default_rng(0).normal(size=(50, 3))
    w = np.random.default_rng(1).uniform(size=50)
    mean, cov = weighted_moments(x, w / w.sum())
    np.testing.assert_allclose(mean, np.average(x, axis=0, weights=w))
    np.testing.assert_allclose(cov, np.cov(x.T, aweights=w))


def test_other_shares_of_the_same_images_have_almost_no_distance():
    real = image_set((200, 200, 200), 0)
    fake = image_set((500, 60, 40), 1, labelled=False)
    matched = class_matched_distance(context(real, fake))["class_matched_distance"]
    plain = distance_of_features(real.outputs.features, fake.outputs.features)
    even = distance_of_features(real.outputs.features, image_set((200, 200, 200), 1).outputs.features)
    assert plain > 5 and matched < 0.1 and even < 0.1
    same = context(real, image_set((200, 200, 200), 1))
    assert class_matched_distance(same)["class_matched_distance"] == pytest.approx(even)


def test_spread_is_relative_to_real_images():
    real = image_set((200, 200, 200), 0)
    found = within_class_spread(context(real, image_set((300, 300, 300), 1, scale=0.5)))
    assert found["within_class_spread"] == pytest.approx(0.25, rel=0.1)  # variance
    moved = image_set((200, 200, 200), 0)
    moved.outputs.features[:] += CENTRES[[2, 0, 1]].repeat(200, axis=0)  # means of classes do not matter
    assert within_class_spread(context(real, moved))["within_class_spread"] == pytest.approx(1)


def test_without_classes_there_is_no_score():
    real, none = image_set((9, 9, 9), 0), image_set((9, 9, 9), 1, labelled=False)
    assert within_class_spread(context(real, none)) == {"within_class_spread": None}
    other = EvalContext(real, none, same_classes=False)
    assert class_matched_distance(other) == {"class_matched_distance": None}

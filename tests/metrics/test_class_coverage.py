"""Classes covered and class shares, in cases with known answers."""

import numpy as np
import pytest

from compare_gan.core.registry import METRICS
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.metrics.class_coverage import coverage, share_distance
from compare_gan.metrics.context import EvalContext, ImageSet


def test_missing_classes_are_not_covered_and_others_do_not_count():
    real = np.repeat([0, 1, 3, 4], 5)
    assert coverage(real, np.array([0, 1, 1, 2])) == 0.5
    assert coverage(real, real) == 1


def test_the_distance_is_the_fraction_of_images_to_change():
    real, fake = np.repeat([0, 1, 2], [5, 3, 2]), np.repeat([0, 1, 3], [2, 3, 5])
    assert share_distance(real, fake) == pytest.approx(0.5)  # 3 more of class 0 and 2 more of class 2
    assert share_distance(real, np.repeat(real, 7)) == pytest.approx(0)
    assert share_distance(np.zeros(4, int), np.ones(3, int)) == 1


def test_classes_are_those_that_the_extractor_predicts():
    def images(classes):
        logits = np.eye(3)[classes]
        return ImageSet(np.array(classes), None, lambda rows: FeaturesAndClasses(logits, logits))

    scores = METRICS["class_coverage"].compute(EvalContext(images([0, 0, 1, 2]), images([0, 0, 1, 1])))
    assert scores == {"classes_covered": pytest.approx(2 / 3), "class_share_distance": 0.25}
    features = ImageSet.of_features(np.ones((4, 2)))
    assert set(METRICS["class_coverage"].compute(EvalContext(features, features)).values()) == {None}

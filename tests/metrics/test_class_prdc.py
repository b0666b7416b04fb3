"""Precision and recall within classes."""

import numpy as np
import pytest

from compare_gan.core.registry import METRICS
from compare_gan.metrics.class_prdc import class_manifolds
from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.prdc import manifolds

RNG = np.random.default_rng(0)
LABELS = np.arange(80) % 2


def clusters(labels, shift=0.0):
    """Classes far apart."""
    return 100 * labels[:, None] + RNG.normal(shift, 1, (len(labels), 3))


def test_a_class_has_the_precision_and_recall_of_its_images_alone():
    real, fake = clusters(LABELS), clusters(LABELS, 0.8)
    found = class_manifolds(real, LABELS, fake, LABELS, seed=0)
    for label in (0, 1):
        alone = manifolds(real[LABELS == label], fake[LABELS == label])
        assert found[label][:2] == alone[:2]


def test_exchanged_classes_are_found_where_all_classes_together_look_perfect():
    real = clusters(LABELS)
    together = manifolds(real, real)
    assert together.precision == together.recall == 1
    sets = ImageSet.of_features(real, LABELS), ImageSet.of_features(real, 1 - LABELS)
    scores = METRICS["class_prdc"].compute(EvalContext(*sets))
    assert set(scores.values()) == {0.0}


def test_unlabelled_images_and_small_classes_do_not_count():
    labels = np.where(np.arange(80) < 3, 2, np.where(np.arange(80) < 6, -1, LABELS))
    found = class_manifolds(clusters(LABELS), labels, clusters(LABELS), labels, seed=0)
    assert set(found) == {0, 1}
    nothing = ImageSet.of_features(clusters(LABELS), np.full(80, -1))
    assert set(METRICS["class_prdc"].compute(EvalContext(nothing, nothing)).values()) == {None}


def test_the_larger_set_is_subsampled():
    real, fake = clusters(LABELS), clusters(np.repeat(LABELS, 10))
    found = class_manifolds(real, LABELS, fake, np.repeat(LABELS, 10), seed=0)
    assert all(each.recall == pytest.approx(round(each.recall * 40) / 40) for each in found.values())

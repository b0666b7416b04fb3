"""Frechet distance per class."""

import numpy as np
import pytest

from compare_gan.metrics.context import EvalContext, ImageSet
from compare_gan.metrics.frechet import frechet_distance, moments
from compare_gan.metrics.intra_fid import intra_class_distances, intra_fid_score


def samples(seed, n=60, dim=4):
    return np.random.default_rng(seed).normal(size=(n, dim)), np.arange(n) % 3


def test_each_class_separately():
    (real, labels), (fake, _) = samples(0), samples(1)
    found = intra_class_distances(real, labels, fake, labels)
    expected = {
        k: frechet_distance(*moments(real[labels == k]), *moments(fake[labels == k])) for k in range(3)
    }
    assert found == pytest.approx(expected)


def test_swapped_classes_are_far_apart():
    """The distance over all classes does not detect this."""
    real, labels = samples(0)
    real = real + 10 * labels[:, None]
    fake = real[:, ::1].copy()
    swapped = np.array([1, 0, 2])[labels]
    found = intra_class_distances(real, labels, fake, swapped)
    assert found[2] == pytest.approx(0, abs=1e-9) and found[0] == pytest.approx(found[1]) and found[0] > 100


def test_unlabelled_images_and_classes_with_one_image_are_ignored():
    real, labels = samples(0)
    unlabelled = np.where(labels == 2, -1, labels)
    ctx = EvalContext(ImageSet.of_features(real, unlabelled), ImageSet.of_features(real, labels))
    assert intra_fid_score(ctx)["intra_fid_score"] == pytest.approx(0, abs=1e-9)
    nothing = EvalContext(ImageSet.of_features(real), ImageSet.of_features(real, labels))
    assert intra_fid_score(nothing) == {"intra_fid_score": None}

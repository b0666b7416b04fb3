"""Streaming statistics against those of all rows."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.metrics.context import BATCH, ImageSet
from compare_gan.metrics.inception_score import inception_score, score_of
from compare_gan.metrics.summaries import Moments, Predictions


def of_parts(total, rows, *sizes):
    for part in np.split(rows, np.cumsum(sizes)):
        total.add(part)
    return total


@pytest.mark.parametrize("sizes", [(), (1,), (1, 1, 1), (30, 2, 60)])
def test_moments_are_those_of_all_rows(sizes):
    rows = np.random.default_rng(0).normal(3, 2, (100, 5)).astype(np.float32)
    total = of_parts(Moments(), rows, *sizes)
    assert total.count == 100
    np.testing.assert_allclose(total.mean, rows.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(total.covariance, np.cov(rows, rowvar=False), rtol=1e-10, atol=1e-12)


def test_a_large_mean_takes_nothing_from_the_covariance():
    deviations = np.random.default_rng(0).integers(-8, 8, (500, 3)) / 8  # exact beside the mean, too
    total = of_parts(Moments(), deviations + 2.0**26, 7, 200)
    np.testing.assert_allclose(total.covariance, np.cov(deviations, rowvar=False), rtol=1e-8, atol=1e-9)
    squares = (deviations + 2.0**26).T @ (deviations + 2.0**26) / 500 - np.outer(total.mean, total.mean)
    assert np.abs(squares - total.covariance).max() > 0.1  # what the textbook's formula leaves


def test_one_row_has_no_covariance():
    with pytest.raises(UserError, match="at least two"):
        _ = of_parts(Moments(), np.ones((1, 3))).covariance


def test_predictions_are_those_of_all_rows():
    logits = np.random.default_rng(0).normal(0, 3, (90, 7)).astype(np.float32)
    total = of_parts(Predictions(), logits, 1, 50)
    assert score_of(total) == pytest.approx(inception_score(logits), rel=1e-12)
    np.testing.assert_array_equal(np.concatenate(total.top_class), logits.argmax(1))


class Watched:
    """Features [N, 3] of which it is known how many were asked for at once, and how often."""

    shape = (2 * BATCH + 10, 3)

    def __init__(self):
        self.asked = []

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, part):
        rows = np.arange(len(self))[part]
        self.asked.append(len(rows))
        return np.sin(np.outer(rows, [1.0, 2, 3]))


def extractor(rows):
    return FeaturesAndClasses(rows[:], rows[:, :2])


def test_a_summary_is_computed_once_in_batches():
    images = Watched()
    found = ImageSet(images, None, extractor)
    assert found.summary.moments.count == len(images)
    assert found.summary is found.summary and images.asked == [BATCH, BATCH, 10]


def test_features_that_are_there_are_not_extracted_again():
    images = Watched()
    features = extractor(Watched()[:])
    found = ImageSet(images, None, extractor, extracted=features)
    assert found.outputs is features
    assert [len(part.features) for part in found.parts()] == [BATCH, BATCH, 10]
    assert found.summary.moments.count == len(images) and not images.asked


def test_a_summary_of_held_features_extracts_nothing():
    images = Watched()
    stored = ImageSet(images, None, lambda rows: extractor(np.asarray(rows[:])))
    _ = stored.outputs
    np.testing.assert_allclose(
        stored.summary.moments.covariance, ImageSet(Watched(), None, extractor).summary.moments.covariance
    )
    assert images.asked == [len(images)]

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from compare_gan.core.errors import UserError
from compare_gan.metrics import prdc
from compare_gan.metrics.neighbours import nearest


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(prdc, "BLOCK", 7)


def features(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100.0, 1.0, (count, 5)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_neighbours_are_those_of_a_full_sort(small_blocks, k):
    queries, references = features(23, 0), features(40, 1)
    found, full = nearest(queries, references, k), cdist(queries.astype(float), references.astype(float))
    np.testing.assert_array_equal(found.rows, full.argsort(1)[:, :k])
    np.testing.assert_allclose(found.distances, np.sort(full, 1)[:, :k], rtol=1e-12)


def test_an_excluded_row_is_no_neighbour(small_blocks):
    points, rows = features(40, 0), np.array([3, 39, 8])
    full = cdist(points.astype(float), points.astype(float))
    np.fill_diagonal(full, np.inf)
    found = nearest(points[rows], points, 2, exclude=rows)
    np.testing.assert_array_equal(found.rows, full[rows].argsort(1)[:, :2])


def test_the_distance_of_a_copy_is_zero_and_that_of_a_near_copy_exact(small_blocks):
    references = features(40, 0)
    queries = references[[5, 17]].copy()
    queries[1, 0] += 2.0**-10
    found = nearest(queries, references, 1)
    np.testing.assert_array_equal(found.rows[:, 0], [5, 17])
    np.testing.assert_array_equal(found.distances[:, 0], [0.0, 2.0**-10])


def test_too_few_references_are_refused():
    with pytest.raises(UserError, match="3 nearest neighbours among 3 images"):
        nearest(features(2, 0), features(3, 1), 3, exclude=np.array([0, 1]))

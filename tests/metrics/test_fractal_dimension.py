"""The dimension of sets whose dimension is known."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.metrics.fractal_dimension import fractal_dimension

CENTERS = np.arange(50)


def cube(dim, n=1500):
    return np.random.default_rng(0).uniform(size=(n, dim))


def test_of_a_line_in_space():
    assert fractal_dimension(cube(1) * [1, 2, 3], CENTERS) == pytest.approx(1, abs=0.05)


def test_of_a_square_and_a_cube():
    assert fractal_dimension(cube(2), CENTERS) == pytest.approx(2, abs=0.2)  # its rim has less
    assert 2.4 < fractal_dimension(cube(3), CENTERS) < 3


def test_of_the_cantor_set():
    digits = np.random.default_rng(0).choice([0, 2], (2000, 20))
    points = (digits / 3.0 ** np.arange(1, 21)).sum(1)[:, None]
    assert fractal_dimension(points, np.arange(200)) == pytest.approx(np.log(2) / np.log(3), abs=0.05)


def test_depends_on_neither_size_nor_shape():
    points = cube(4)
    found = fractal_dimension(points, CENTERS)
    assert fractal_dimension(255 * points.reshape(-1, 2, 2, 1), CENTERS) == pytest.approx(found, rel=1e-9)


def test_identical_points_are_refused():
    with pytest.raises(UserError, match="all points are identical"):
        fractal_dimension(np.ones((9, 2)), np.arange(3))
    with pytest.raises(UserError, match="too few distinct distances"):
        fractal_dimension(np.eye(9), np.arange(3))

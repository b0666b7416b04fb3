"""The benchmark of the numbers of images: its sets, and the committed result."""

import json

import numpy as np

from benchmarks.convergence import draw_shares, figure, in_order
from tests.docs.components import ROOT

RESULT = json.loads((ROOT / "docs" / "convergence.json").read_text())


def test_sets_have_the_asked_shares_and_no_image_twice():
    labels = np.arange(4000) % 10
    drawn = draw_shares(labels, 0.7, 1500, np.random.default_rng(0))
    assert len(set(drawn)) == 1500
    assert abs((labels[drawn] < 5).mean() - 0.7) < 0.05
    assert abs((labels[drawn[:750]] < 5).mean() - 0.7) < 0.06  # in random order


def test_only_a_strictly_increasing_series_is_in_order():
    assert in_order([1, 2, 3]) and not in_order([1, 3, 2]) and not in_order([1, 1, 2])


def test_the_figure_is_that_of_the_numbers():
    assert (ROOT / "docs" / "convergence.svg").read_text() == figure(RESULT) + "\n"

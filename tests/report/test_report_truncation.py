"""Charts of scores over the truncation, drawn to scale."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from compare_gan.report.truncation import chart, charts, figure

CURVE = {
    "step": 4,
    "points": [
        {"truncation": 1.0, "scores": {"fid_score": 8.0, "recall": 0.6, "vendi": None}},
        {"truncation": 0.5, "scores": {"fid_score": 10.0, "recall": 0.3, "vendi": None}},
        {"truncation": 0.25, "scores": {"fid_score": 20.0, "recall": 0.1, "vendi": 3.0}},
        {"truncation": None, "scores": {"fid_score": 7.0, "recall": 0.7, "vendi": 4.0}},
    ],
}


def test_points_are_in_order_and_to_scale():
    drawn = ElementTree.fromstring(chart(CURVE, "fid_score"))
    points = np.array(re.findall(r"[\d.]+", drawn.find("polyline").get("points")), float).reshape(-1, 2)
    x, y = points.T
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx((0.5 - 0.25) / (1 - 0.25), abs=0.01)
    assert (y[1] - y[0]) / (y[2] - y[0]) == pytest.approx((10 - 20) / (8 - 20), abs=0.01)
    assert len(drawn.findall("circle")) == 3
    (whole,) = [line for line in drawn.findall("line") if line.get("stroke-dasharray")]
    height = float(whole.get("y1"))
    assert (height - y[0]) / (y[2] - y[0]) == pytest.approx((7 - 20) / (8 - 20), abs=0.01)


def test_a_score_without_two_points_has_no_chart():
    assert not chart(CURVE, "vendi") and len(charts(CURVE)) == 2
    assert figure({"step": 1, "points": CURVE["points"][3:]}) == ""


def test_the_figure_is_one_document_with_a_chart_for_each_score():
    root = ElementTree.fromstring(figure(CURVE))
    names = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"fid_score", "recall"} <= set(names) and "vendi" not in names

"""Charts are well-formed XML, with points at the right coordinates."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from compare_gan.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axes,
    Series,
    axes_for,
    curves,
    downsample,
    heat_map,
    smooth,
    ticks,
)


def line(x, y, colour=0):
    return Series("a <line>", np.array(x, float), np.array(y, float), colour)


def points(svg: ET.Element, style: str) -> list[list[float]]:
    (found,) = [e for e in svg.iter("polyline") if e.get("class") == style]
    return [[float(v) for v in pair.split(",")] for pair in found.get("points").split()]


def test_coordinates_of_a_known_curve():
    svg = ET.fromstring(
        curves([line([0, 50, 100], [1, 3, 2])], Axes((0, 100), (1, 3)), label="<y>", description='"q"')
    )
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    bottom, half = HEIGHT - BOTTOM, (HEIGHT - BOTTOM + TOP) / 2
    expected = [[LEFT, bottom], [middle, TOP], [WIDTH - RIGHT, half]]
    assert np.allclose(points(svg, "raw c0"), expected, atol=0.06)
    assert np.allclose(points(svg, "smooth c0"), expected, atol=0.06)  # too short for smoothing


def test_ticks_are_at_their_values():
    svg = ET.fromstring(
        curves([line([0, 2000], [0, 1])], Axes((0, 2000), (0, 1)), label="y", description="d")
    )
    words = {e.text: (float(e.get("x")), float(e.get("y"))) for e in svg.iter("text")}
    assert words["1,000"][0] == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) / 2, abs=0.06)
    assert words["1"][1] == pytest.approx(TOP + 3.5, abs=0.06)
    assert {"0", "500", "1,500", "2,000", "0.2", "0.8", "step", "y"} <= set(words)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 2.9, [0.5, 1, 1.5, 2, 2.5]),
        (-3e5, 3e5, [-3e5, -2e5, -1e5, 0, 1e5, 2e5, 3e5]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert ticks(low, high) == expected


def test_smoothing_keeps_constants_and_inner_straight_lines():
    assert np.allclose(smooth(np.full(200, 3.0)), 3.0)
    assert np.allclose(smooth(np.arange(200.0))[5:-5], np.arange(5.0, 195.0))
    noise = np.random.default_rng(0).normal(size=4000)
    assert smooth(noise).std() == pytest.approx(1 / np.sqrt(201), rel=0.3)


def test_only_long_curves_are_downsampled():
    assert downsample(np.arange(9.0)).tolist() == list(range(9))
    assert len(downsample(np.arange(5001.0))) == 300
    assert downsample(np.full(5001, 2.0)).tolist() == [2.0] * 300


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0, 5.0], [1.0, -1e6, 1.0], [1e-9, 2e-9]])
def test_axes_have_a_range_for_any_curve(values):
    series = [line(range(len(values)), values)]
    axes = axes_for(series)
    assert axes.x[0] < axes.x[1] and axes.y[0] < axes.y[1]
    assert "nan" not in curves(series, axes, label="y", description="d")


def test_an_outlier_does_not_flatten_the_curve():
    values = np.sin(np.arange(2000.0))
    values[1000] = 1e3
    low, high = axes_for([line(range(2000), values)]).y
    assert low > -2 and high < 2


def test_the_heat_map_is_well_formed_and_shows_counts():
    names = ["a & b", "<c>", "a very long name indeed"]
    svg = ET.fromstring(heat_map(np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]]), names))
    boxes = [e for e in svg.iter("rect") if e.get("class") in ("right", "wrong")]
    cells = [(e.get("class"), e.find("title").text, float(e.get("fill-opacity"))) for e in boxes]
    assert cells == [
        ("right", "true a & b, inferred a & b: 8", pytest.approx(0.894, abs=1e-3)),
        ("wrong", "true a & b, inferred <c>: 2", pytest.approx(0.447, abs=1e-3)),
        ("wrong", "true a very long name indeed, inferred a & b: 1", 0.5),
        (
            "right",
            "true a very long name indeed, inferred a very long name indeed: 3",
            pytest.approx(0.866, abs=1e-3),
        ),
    ]
    assert [float(b.get("x")) for b in boxes][1] - [float(b.get("x")) for b in boxes][0] == 26
    assert svg.get("aria-label") == "Confusion matrix of 3 classes; 11 of 14 correct."

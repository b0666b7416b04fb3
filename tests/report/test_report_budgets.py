"""The plot of distance against labels: point positions, levels, and curve labels that do not overlap."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from compare_gan.report.budgets import (
    BOTTOM,
    HEIGHT,
    LABEL_SPACING,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    distance_figure,
    space_out,
)

from .conftest import line


def lines():
    """S3GAN halves its distance from 10 to 1000 labels; all labels is in between."""
    return [
        line("all_labels", None, 2.0, 0.9, labels=9999),
        line("s3gan", 0.001, 4.0, 0.9, labels=10),
        line("s3gan", 0.1, 1.0, 0.9, labels=1000),
        line("s3gan", 0.01, 2.0, 0.9, labels=100),
        line("s3gan_soft", 0.001, 4.0, 0.9, labels=10),
        line("no_labels", None, 8.0, None),
    ]


def plot(lines):
    return ET.fromstring(distance_figure(lines))


def marks(svg, kind):
    return [(float(e.get("cx")), float(e.get("cy"))) for e in svg.iter("circle") if e.get("class") == kind]


def test_axes_are_logarithmic():
    svg = plot(lines())
    (first, second, third) = marks(svg, "dot c0")
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.2)  # a factor of ten each
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=0.2)  # a factor of two each
    assert first[0] < third[0] and first[1] < third[1]  # more labels to the right, less distance below
    (soft,) = marks(svg, "dot c0 d1")
    assert soft[1] == first[1] and soft[0] != first[0]  # side by side
    assert all(LEFT < x < WIDTH - RIGHT and TOP < y < HEIGHT - BOTTOM for x, y in (first, second, third))


def test_whiskers_reach_from_lowest_to_highest():
    svg = plot(lines())
    first = marks(svg, "dot c0")[0]
    whisker = next(e for e in svg.iter("line") if e.get("class") == "whisker c0")
    low, high = float(whisker.get("y1")), float(whisker.get("y2"))
    scale = (low - high) / np.log(1.1 / 0.9)  # pixels of a factor e
    assert first[1] == pytest.approx(low - scale * np.log(1 / 0.9), abs=0.1)


def test_whiskers_are_intervals_where_there_are_some():
    several = [line("s3gan", 0.1, 1.0, 0.9, labels=n, seeds=3) for n in (100, 1000)]  # 0.8 to 1.2
    svg = plot([*lines()[:1], *several])
    first = marks(svg, "dot c0")[0]
    whisker = next(e for e in svg.iter("line") if e.get("class") == "whisker c0")
    low, high = float(whisker.get("y1")), float(whisker.get("y2"))
    scale = (low - high) / np.log(1.2 / 0.8)
    assert first[1] == pytest.approx(low - scale * np.log(1 / 0.8), abs=0.1)


def test_the_margin_is_a_tenth_above_all_labels():
    svg = plot(lines())
    heights = {
        e.get("class"): float(e.get("points").split()[0].split(",")[1])
        for e in svg.iter("polyline")
        if "level" in e.get("class")
    }
    dots = marks(svg, "dot c0")
    unit = (dots[1][1] - dots[0][1]) / np.log(2)  # pixels of a factor e
    found = heights["level baseline"] - heights["level margin"]
    assert found == pytest.approx(unit * np.log(1.1), abs=0.15)


def test_shares_of_the_labels_are_below_their_numbers():
    words = [e.text for e in plot(lines()).iter("text")]
    assert {"10", "100", "1,000", "0.1%", "1%", "10%"} <= set(words)


def test_variants_share_a_colour():
    more = [line("s3gan+diffaugment", 0.1, 3.0, 0.9, labels=1000), line("s2gan", 0.1, 3.1, 0.9, labels=1000)]
    names = {e.text: e.get("class") for e in plot([*lines(), *more]).iter("text") if e.get("class")}
    assert names["S3GAN, DiffAugment"] == "c0 d1" and names["S2GAN"] == "c1"


def test_levels_span_the_plot():
    svg = plot(lines())
    levels = {
        e.get("class"): e.get("points").split() for e in svg.iter("polyline") if "level" in e.get("class")
    }
    assert set(levels) == {"level", "level baseline", "level margin"}
    for points in levels.values():
        (x1, y1), (x2, y2) = (tuple(map(float, pair.split(","))) for pair in points[:2])
        assert (x1, x2) == (LEFT, WIDTH - RIGHT) and y1 == y2
    baseline = float(levels["level baseline"][0].split(",")[1])
    assert baseline == pytest.approx(marks(svg, "dot c0")[1][1], abs=0.1)  # both at 2.0


def test_real_images_are_a_level():
    svg = ET.fromstring(distance_figure(lines(), 2.0))
    levels = [e.get("points").split()[0] for e in svg.iter("polyline") if "level" in e.get("class")]
    assert len(levels) == 4 and levels[3] == levels[0]  # as high as all labels, whose distance is 2.0
    assert "Real training images" in {e.text for e in svg.iter("text")}


def test_every_curve_has_its_name():
    svg = plot(lines())
    names = {e.text: e.get("class") for e in svg.iter("text") if e.get("class")}
    assert names == {
        "All labels": "level baseline",
        "S3GAN": "c0",
        "S3GAN, soft labels": "c0 d1",
        "No labels": "level",
        "All labels + 10%": "level margin",
    }
    assert "S3GAN 1" in svg.get("aria-label")


def test_a_single_number_of_labels_gives_no_plot():
    assert (
        distance_figure([line("all_labels", None, 2.0, 0.9), line("s3gan", 0.1, 2.0, 0.9, labels=10)]) == ""
    )
    assert distance_figure([]) == ""


def test_invalid_scores_are_omitted():
    broken = [
        line("s2gan", 0.1, float("nan"), 0.9, labels=100),
        line("s2gan_co", 0.1, -1.0, 0.9, labels=100),
        line("clustering", None, 1.0, None) | {"scores": None},
        line("<b>", None, 3.0, None) | {"labels": "x"},
    ]
    svg = plot([*lines(), *broken])
    words = {e.text for e in svg.iter("text")}
    assert "<b>" in words and not {"S2GAN", "S2GAN-CO", "Clustering"} & words


def test_labels_are_spaced_in_their_order():
    rng = np.random.default_rng(0)
    for _ in range(100):
        heights = rng.uniform(20, 300, 14).tolist()
        placed = space_out(heights, 20, 300)
        order = np.argsort(heights)
        assert (np.diff(np.array(placed)[order]) >= LABEL_SPACING - 1e-9).all()
        assert max(placed) <= 300 + 1e-9
    assert space_out([50, 100, 150], 0, 300) == [50, 100, 150]
    assert space_out([100, 100], 0, 300) == [100, 100 + LABEL_SPACING]


@pytest.mark.parametrize(("low", "high"), [(0.3, 1.6), (0.01, 90), (1, 1.4), (300, 4000)])
def test_ticks_are_round_and_inside(low, high):
    ticks = Axis(low, high, 0, 1).ticks()
    assert all(low <= tick <= high for tick in ticks) and ticks == sorted(ticks)
    assert 1 <= len(ticks) <= 9

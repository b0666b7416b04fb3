"""Plot of Fréchet distance against the number of labels, one curve per method, as inline SVG.

After figure 1 of Lucic et al., https://arxiv.org/abs/1903.02271: means with 95% intervals, and horizontal
lines for all labels, for the margin within which a method is as good, and for real images. Both axes are
logarithmic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compare_gan.core.label_methods import ALL_LABELS, find_method
from compare_gan.core.statistics import MARGIN
from compare_gan.report.charts import COLOURS, px
from compare_gan.report.collect import Record, number
from compare_gan.report.markup import Markup, tag
from compare_gan.report.words import count, name_of, percent

WIDTH, HEIGHT = 760, 420
LEFT, TOP, RIGHT, BOTTOM = 52, 26, 178, 56
LABEL_SPACING = 13  # minimum pixels between curve labels
DODGE = 4  # horizontal pixels between whiskers of different methods, so they do not overlap
REAL = "Real training images"
MARGIN_NAME = f"All labels + {MARGIN:.0%}"
LEVELS = {ALL_LABELS: "level baseline", MARGIN_NAME: "level margin"}  # CSS classes of horizontal lines


@dataclass(frozen=True)
class Curve:
    """A method: one point per number of labels, or a horizontal level if labels do not matter."""

    method: str
    labels: np.ndarray  # [N] ascending; empty for a level
    mean: np.ndarray  # [N] or [1]
    low: np.ndarray  # ends of the whiskers
    high: np.ndarray


@dataclass(frozen=True)
class Style:
    """How a curve is drawn."""

    css_class: str
    shift: float = 0.0  # horizontal pixels of its points


@dataclass(frozen=True)
class Axis:
    """A logarithmic scale from values to pixels."""

    low: float
    high: float
    start: float  # the pixel of `low`
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round tick values: powers of ten on a long scale, more multiples on a short one."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for multiples in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            steps = [m * 10.0**p for p in powers for m in multiples]
            ticks = [round(step, 12) for step in steps if self.low <= step <= self.high]
            if len(ticks) >= 4:
                break
        return ticks


def curves_of(lines: Sequence[Record], real: float | None) -> list[Curve]:
    """The curves to draw, in the order of the lines. Methods without a positive distance are omitted.

    Whiskers are 95% intervals, or reach from the lowest to the highest run where there is none. After the
    methods come the level of the margin, and that of real images if their distance is known.
    """
    points: dict[str, list[tuple[float, ...]]] = {}
    for line in lines:
        scores = line.get("scores")
        score = scores.get("frechet_distance") if isinstance(scores, dict) else None
        values = whiskers(score) if score else [None]
        if all(value is not None and value > 0 for value in values):
            labels = number(line.get("labels")) or 0
            points.setdefault(str(line.get("method")), []).append((labels, *values))  # type: ignore[arg-type]
    curves = []
    for method, rows in points.items():
        labels, mean, low, high = np.array(sorted(rows)).T
        known = find_method(method)
        few = known is not None and known.from_few
        curves.append(Curve(method, labels if few else labels[:0], mean, low, high))
    levels = {
        MARGIN_NAME: next((float(c.mean[0]) * (1 + MARGIN) for c in curves if c.method == ALL_LABELS), None),
        REAL: real,
    }
    for name, value in levels.items():
        if value is not None and value > 0:
            level = np.array([value])
            curves.append(Curve(name, level[:0], level, level, level))
    return curves


def whiskers(score: Record) -> list[float | None]:
    """The mean of a score and the ends of its interval, or of its range if an end is not positive."""
    ends = score.get("interval")
    if isinstance(ends, list) and len(ends) == 2 and (number(ends[0]) or 0) > 0:
        return [number(score.get("mean")), *map(number, ends)]
    return [number(score.get(key)) for key in ("mean", "lowest", "highest")]


def distance_figure(lines: Sequence[Record], real: float | None = None) -> Markup:
    """The plot as SVG; empty with fewer than two numbers of labels.

    Args:
      lines: scores per method and label budget.
      real: the Fréchet distance of real training images.
    """
    curves = curves_of(lines, real)
    label_counts = sorted({float(n) for curve in curves for n in curve.labels})
    if len(label_counts) < 2:
        return Markup()
    x = Axis(label_counts[0] / 1.25, label_counts[-1] * 1.25, LEFT, WIDTH - RIGHT)
    low, high = min(c.low.min() for c in curves), max(c.high.max() for c in curves)
    y = Axis(low / 1.15, high * 1.15, HEIGHT - BOTTOM, TOP)
    heights = space_out([y.at(curve.mean[-1]) for curve in curves], y.end, y.start)
    styles = styles_of(curves)
    drawn = [draw(c, s, x, y, h) for c, s, h in zip(curves, styles, heights, strict=True)]
    names = [
        tag(
            "text",
            name_of(c.method),
            class_=s.css_class,
            x=WIDTH - RIGHT + 12,
            y=px(h + 3.5),
            data_series=name_of(c.method),
        )
        for c, s, h in zip(curves, styles, heights, strict=True)
    ]
    summary = ", ".join(f"{name_of(c.method)} {c.mean[-1]:.3g}" for c in curves)
    return tag(
        "svg",
        *frame(label_counts, x, y, shares_of(lines)),
        *(part for parts in drawn for part in parts),
        *names,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart budgets",
        role="img",
        aria_label=f"Fréchet distance against the number of labels; at the largest number: {summary}.",
        data_x="labels:",
        data_columns="mean;whisker",
    )


def shares_of(lines: Sequence[Record]) -> dict[float, float]:
    """Number of labels -> fraction of all labels, where it is known."""
    pairs = ((number(line.get("labels")), number(line.get("fraction"))) for line in lines)
    return {labels: share for labels, share in pairs if labels is not None and share is not None}


def frame(
    label_counts: Sequence[float], x: Axis, y: Axis, shares: Mapping[float, float] | None = None
) -> list[Markup]:
    """Axes with titles and ticks; one x tick per number of labels, with their share below."""
    middle, shares = px((x.start + x.end) / 2), shares or {}
    parts = [
        tag("text", "Fréchet distance, mean and 95% interval", x=0, y=TOP - 12),
        tag("text", "labels, and share of all labels", x=middle, y=HEIGHT - 6, text_anchor="middle"),
    ]
    for value in y.ticks():
        at = px(y.at(value))
        parts.append(tag("line", class_="rule", x1=x.start, x2=x.end, y1=at, y2=at))
        parts.append(tag("text", f"{value:,.10g}", x=LEFT - 6, y=px(y.at(value) + 3.5), text_anchor="end"))
    for label_count in label_counts:
        at = px(x.at(label_count))
        parts.append(tag("line", class_="axis", x1=at, x2=at, y1=y.start, y2=y.start + 4))
        parts.append(tag("text", count(label_count), x=at, y=y.start + 17, text_anchor="middle"))
        if label_count in shares:
            share = percent(shares[label_count])
            parts.append(tag("text", share, x=at, y=y.start + 30, text_anchor="middle"))
    return [*parts, tag("line", class_="axis", x1=x.start, x2=x.end, y1=y.start, y2=y.start)]


def styles_of(curves: Sequence[Curve]) -> list[Style]:
    """The style of each curve. Variants of a method share its colour; levels have none."""
    few = [curve.method for curve in curves if len(curve.labels)]
    plain = {name: name.partition("+")[0].removesuffix("_soft") for name in few}
    colours = list(dict.fromkeys(plain.values()))
    styles = []
    for curve in curves:
        name = curve.method
        if name not in few:
            styles.append(Style(LEVELS.get(name, "level")))
            continue
        colour = colours.index(plain[name]) % COLOURS
        shift = DODGE * (few.index(name) - (len(few) - 1) / 2)
        styles.append(Style(f"c{colour}" + (" d1" if name != plain[name] else ""), shift))
    return styles


def draw(curve: Curve, style: Style, x: Axis, y: Axis, name_at: float) -> list[Markup]:
    """Whiskers, line and points of a curve; for a level, a line that leads to its name."""
    css_class, name = style.css_class, name_of(curve.method)
    ends = zip(curve.low, curve.high, strict=True)
    readings = {  # what page.js shows under the pointer
        "data_series": name,
        "data_at": ";".join(map(count, curve.labels)) or None,
        "data_values": ";".join(f"{value:.4g}" for value in curve.mean),
        "data_more": ";".join(f"{low:.4g} to {high:.4g}" if low < high else "" for low, high in ends),
    }
    if not len(curve.labels):
        at = px(y.at(curve.mean[-1]))
        points = f"{x.start},{at} {x.end},{at} {x.end + 9},{px(name_at)}"
        return [tag("polyline", class_=css_class, points=points, **readings)]
    across = [x.at(n) + style.shift for n in curve.labels]
    middles = [y.at(value) for value in curve.mean]
    parts = [
        tag(
            "line",
            class_=f"whisker {css_class}",
            x1=px(a),
            x2=px(a),
            y1=px(y.at(low)),
            y2=px(y.at(high)),
            data_series=name,
        )
        for a, low, high in zip(across, curve.low, curve.high, strict=True)
    ]
    line = " ".join(f"{px(a)},{px(b)}" for a, b in zip(across, middles, strict=True))
    parts.append(tag("polyline", class_=f"smooth {css_class}", points=line, **readings))
    for a, b, n, value in zip(across, middles, curve.labels, curve.mean, strict=True):
        tooltip = tag("title", f"{name}, {count(n)} labels: {value:.4g}")
        parts.append(
            tag("circle", tooltip, class_=f"dot {css_class}", cx=px(a), cy=px(b), r=3, data_series=name)
        )
    return parts


def space_out(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Moves heights apart to at least LABEL_SPACING pixels, keeping their order.

    Labels are pushed down from the top, then back up from the bottom if they exceed it.
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    last = top - LABEL_SPACING
    for i in order:
        placed[i] = last = max(placed[i], last + LABEL_SPACING)
    limit = max(bottom, top + LABEL_SPACING * (len(heights) - 1))
    for i in reversed(order):
        placed[i] = limit = min(placed[i], limit)
        limit -= LABEL_SPACING
    return placed

"""Distance against the number of labels, one curve a method, as inline SVG.

After figure 1 of Lucic et al., https://arxiv.org/abs/1903.02271: means over seeds, and lines for all labels
and for real images. Both axes are logarithmic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.report.charts import COLOURS, px
from compare_gan.report.collect import Record, number
from compare_gan.report.markup import Markup, tag
from compare_gan.report.words import count, name_of

WIDTH, HEIGHT = 760, 420
LEFT, TOP, RIGHT, BOTTOM = 52, 26, 178, 44
APART = 13  # pixels between labels
DODGE = 4  # pixels between whiskers that would cover each other
BASELINE = "all_labels"
REAL = "Real training images"


@dataclass(frozen=True)
class Curve:
    """A method: one point for each number of labels, or a level where these do not matter."""

    method: str
    labels: np.ndarray  # [N] ascending; empty for a level
    mean: np.ndarray  # [N] or [1]
    lowest: np.ndarray
    highest: np.ndarray


@dataclass(frozen=True)
class Axis:
    """A logarithmic scale from values to pixels."""

    low: float
    high: float
    start: float  # the pixel of `low`
    end: float

    def at(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers times powers of ten: few of them on a long scale, more on a short one."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for multiples in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            steps = [m * 10.0**p for p in powers for m in multiples]
            found = [round(step, 12) for step in steps if self.low <= step <= self.high]
            if len(found) >= 4:
                break
        return found


def curves_of(lines: Sequence[Record], real: float | None) -> list[Curve]:
    """What there is to draw, in the order of the lines; a method without a positive distance is left out.

    Last a level for the distance of real images, if it is known.
    """
    points: dict[str, list[tuple[float, ...]]] = {}
    for line in lines:
        scores = line.get("scores")
        found = scores.get("frechet_distance") if isinstance(scores, dict) else None
        values = [number(found.get(key)) for key in ("mean", "lowest", "highest")] if found else [None]
        if all(value is not None and value > 0 for value in values):
            labels = number(line.get("labels")) or 0
            points.setdefault(str(line.get("method")), []).append((labels, *values))  # type: ignore[arg-type]
    curves = []
    for method, rows in points.items():
        labels, mean, lowest, highest = np.array(sorted(rows)).T
        few = method in LABEL_METHODS and LABEL_METHODS[method].from_few
        curves.append(Curve(method, labels if few else labels[:0], mean, lowest, highest))
    if real is not None and real > 0:
        level = np.array([real])
        curves.append(Curve(REAL, level[:0], level, level, level))
    return curves


def distance_figure(lines: Sequence[Record], real: float | None = None) -> Markup:
    """The figure; nothing where there are not at least two numbers of labels.

    Args:
      lines: scores of methods with a label budget.
      real: the distance of real training images.
    """
    curves = curves_of(lines, real)
    amounts = sorted({float(n) for curve in curves for n in curve.labels})
    if len(amounts) < 2:
        return Markup()
    x = Axis(amounts[0] / 1.25, amounts[-1] * 1.25, LEFT, WIDTH - RIGHT)
    low, high = min(c.lowest.min() for c in curves), max(c.highest.max() for c in curves)
    y = Axis(low / 1.15, high * 1.15, HEIGHT - BOTTOM, TOP)
    heights = spaced([y.at(curve.mean[-1]) for curve in curves], y.end, y.start)
    drawn = [draw(c, i, x, y, h) for i, (c, h) in enumerate(zip(curves, heights, strict=True))]
    names = [
        tag("text", name_of(c.method), class_=style(c, i), x=WIDTH - RIGHT + 12, y=px(h + 3.5))
        for i, (c, h) in enumerate(zip(curves, heights, strict=True))
    ]
    told = ", ".join(f"{name_of(c.method)} {c.mean[-1]:.3g}" for c in curves)
    return tag(
        "svg",
        *frame(amounts, x, y),
        *(part for parts in drawn for part in parts),
        *names,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart budgets",
        role="img",
        aria_label=f"Fréchet distance against the number of labels; with most of them: {told}.",
    )


def frame(amounts: Sequence[float], x: Axis, y: Axis) -> list[Markup]:
    """Axes with their names; a tick for each number of labels."""
    parts = [
        tag("text", "Fréchet distance, mean over runs", x=0, y=TOP - 12),
        tag("text", "labels", x=px((x.start + x.end) / 2), y=HEIGHT - 6, text_anchor="middle"),
    ]
    for value in y.ticks():
        at = px(y.at(value))
        parts.append(tag("line", class_="rule", x1=x.start, x2=x.end, y1=at, y2=at))
        parts.append(tag("text", f"{value:,.10g}", x=LEFT - 6, y=px(y.at(value) + 3.5), text_anchor="end"))
    for amount in amounts:
        at = px(x.at(amount))
        parts.append(tag("line", class_="axis", x1=at, x2=at, y1=y.start, y2=y.start + 4))
        parts.append(tag("text", count(amount), x=at, y=y.start + 17, text_anchor="middle"))
    return [*parts, tag("line", class_="axis", x1=x.start, x2=x.end, y1=y.start, y2=y.start)]


def style(curve: Curve, place: int) -> str:
    """The class of a curve: hard and soft labels of a method have one colour, levels have none."""
    if curve.method == BASELINE:
        return "level baseline"
    if not len(curve.labels):
        return "level"
    few = [name for name, method in LABEL_METHODS.items() if method.from_few and not name.endswith("_soft")]
    plain = curve.method.removesuffix("_soft")
    colour = few.index(plain) if plain in few else place
    return f"c{colour % COLOURS}" + (" d1" if curve.method != plain else "")


def draw(curve: Curve, place: int, x: Axis, y: Axis, name_at: float) -> list[Markup]:
    """Whiskers, a line and points; of a level a line that leads to its name."""
    kind = style(curve, place)
    if not len(curve.labels):
        at = px(y.at(curve.mean[-1]))
        way = f"{x.start},{at} {x.end},{at} {x.end + 9},{px(name_at)}"
        return [tag("polyline", class_=kind, points=way)]
    few = [name for name, method in LABEL_METHODS.items() if method.from_few]
    shift = DODGE * (few.index(curve.method) - (len(few) - 1) / 2)
    across = [x.at(n) + shift for n in curve.labels]
    middles = [y.at(value) for value in curve.mean]
    parts = [
        tag("line", class_=f"whisker {kind}", x1=px(a), x2=px(a), y1=px(y.at(low)), y2=px(y.at(high)))
        for a, low, high in zip(across, curve.lowest, curve.highest, strict=True)
    ]
    line = " ".join(f"{px(a)},{px(b)}" for a, b in zip(across, middles, strict=True))
    parts.append(tag("polyline", class_=f"smooth {kind}", points=line))
    for a, b, n, value in zip(across, middles, curve.labels, curve.mean, strict=True):
        told = tag("title", f"{name_of(curve.method)}, {count(n)} labels: {value:.4g}")
        parts.append(tag("circle", told, class_=f"dot {kind}", cx=px(a), cy=px(b), r=3))
    return parts


def spaced(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Heights at least APART pixels from each other, in their order, near where they were.

    Pushed down from the top, then up from the bottom where they have run out of it.
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    last = top - APART
    for i in order:
        placed[i] = last = max(placed[i], last + APART)
    limit = max(bottom, top + APART * (len(heights) - 1))
    for i in reversed(order):
        placed[i] = limit = min(placed[i], limit)
        limit -= APART
    return placed

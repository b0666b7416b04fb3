"""Line charts and heat maps as inline SVG, styled by the classes of style.css."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compare_gan.report.markup import Markup, tag

WIDTH, HEIGHT = 360, 210
LEFT, TOP, RIGHT, BOTTOM = 40, 22, 18, 36
MAX_POINTS = 300  # of a drawn curve
COLOURS = 6
CELL = 26  # pixels of a heat map cell


@dataclass(frozen=True)
class Series:
    """A named curve: values y [N] at steps x [N]."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: int


@dataclass(frozen=True)
class Axes:
    """The data ranges of a chart."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """Pixel coordinates [..., 2] of data points."""
        across = (np.asarray(x) - self.x[0]) / (self.x[1] - self.x[0])
        up = (np.asarray(y) - self.y[0]) / (self.y[1] - self.y[0])
        return np.stack(
            [LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)], axis=-1
        )


def axes_for(series: Sequence[Series]) -> Axes:
    """Axes for some curves: x from 0; y from the 1st to the 99th percentile, to ignore extreme spikes."""
    bounds = [np.percentile(s.y, [1, 99]) for s in series]
    low, high = float(min(b[0] for b in bounds)), float(max(b[1] for b in bounds))
    margin = 0.1 * (high - low) or abs(high) * 0.1 or 1.0
    return Axes((0.0, float(max(s.x.max() for s in series)) or 1.0), (low - margin, high + margin))


def smooth(values: np.ndarray) -> np.ndarray:
    """Moving average over a centred window of a twentieth of the curve, truncated at both ends."""
    n = len(values)
    first = np.maximum(np.arange(n) - n // 40, 0)
    end = np.minimum(np.arange(n) + n // 40 + 1, n)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[end] - sums[first]) / (end - first)


def downsample(values: np.ndarray) -> np.ndarray:
    """At most MAX_POINTS values: means over segments of equal length."""
    return np.array([segment.mean() for segment in np.array_split(values, min(MAX_POINTS, len(values)))])


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers within a range, about `count` of them."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.99)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def curves(series: Sequence[Series], axes: Axes, *, label: str, description: str) -> Markup:
    """A chart of values over steps: each series as a faint raw line and a smoothed one.

    Args:
      series: the curves.
      axes: the data ranges.
      label: the title of the y axis.
      description: the accessible description.
    """
    frame = [
        tag("text", label, x=0, y=TOP - 10),
        tag("text", "step", x=WIDTH - RIGHT, y=HEIGHT - 4, text_anchor="end"),
    ]
    for value in ticks(*axes.y):
        _, y = axes.at(axes.x[0], value)
        frame.append(tag("line", class_="rule", x1=LEFT, x2=WIDTH - RIGHT, y1=px(y), y2=px(y)))
        frame.append(tag("text", f"{value:,.10g}", x=LEFT - 6, y=px(y + 3.5), text_anchor="end"))
    for value in ticks(*axes.x):
        x, _ = axes.at(value, axes.y[0])
        frame.append(
            tag("line", class_="axis", x1=px(x), x2=px(x), y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4)
        )
        frame.append(tag("text", f"{value:,.10g}", x=px(x), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    frame.append(
        tag("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM)
    )
    lines = [polyline(axes, s.x, s.y, f"raw {stroke(s.colour)}", data_series=s.name) for s in series]
    lines += [polyline(axes, s.x, smooth(s.y), f"smooth {stroke(s.colour)}", **readings(s)) for s in series]
    inner = (LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    sizes = dict(zip(("x", "y", "width", "height"), inner, strict=True))
    plot = tag("svg", *lines, viewBox=" ".join(map(str, inner)), **sizes)  # a nested svg clips the lines
    return tag(
        "svg",
        *frame,
        plot,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart",
        role="img",
        aria_label=description,
        data_x="step",
        data_columns="logged;average",
    )


def polyline(axes: Axes, x: np.ndarray, y: np.ndarray, style: str, **data: str) -> Markup:
    """A downsampled curve with CSS class `style`; `data` are attributes for page.js."""
    points = axes.at(downsample(x), downsample(y))
    return tag("polyline", class_=style, points=" ".join(f"{px(a)},{px(b)}" for a, b in points), **data)


def readings(series: Series) -> dict[str, str]:
    """The values at each point of a curve, which page.js shows under the pointer."""
    columns = {"at": series.x, "values": series.y, "more": smooth(series.y)}
    formats = {"at": "{:,.0f}", "values": "{:.4g}", "more": "{:.4g}"}
    texts = {key: ";".join(map(formats[key].format, downsample(values))) for key, values in columns.items()}
    return {"data_series": series.name} | {f"data_{key}": text for key, text in texts.items()}


def stroke(index: int) -> str:
    """The CSS class of the line of a series: its colour, plus dashes once all colours are used."""
    return f"c{index % COLOURS}" + (f" d{index // COLOURS}" if index >= COLOURS else "")


def px(value: float) -> str:
    """A pixel coordinate as text."""
    return f"{value:.1f}"


def legend(names: Sequence[str]) -> Markup:
    """A list of series names with their line styles."""
    keys = [tag("li", tag("span", class_=f"key {stroke(i)}"), name) for i, name in enumerate(names)]
    return tag("ul", *keys, class_="legend")


def heat_map(confusion: np.ndarray, names: Sequence[str]) -> Markup:
    """A confusion matrix [K, K]: true classes as rows, inferred ones as columns.

    Cells are shaded by the square root of their share in the row.
    """
    k, cell = len(names), max(CELL, 5 + 7 * len(f"{confusion.max(initial=0):,}"))
    short = [name if len(name) <= 12 else name[:11] + "…" for name in names]
    longest = max(map(len, short), default=0)
    left = 26 + round(6.4 * longest)
    top = 40 if longest <= 3 else 30 + round(6.4 * longest)
    middle, rotated = top + k * cell / 2, "" if longest <= 3 else " rotate(-90)"
    parts = [
        tag("text", "inferred", x=left + k * cell / 2, y=12, text_anchor="middle"),
        tag("text", "true", transform=f"translate(11 {middle}) rotate(-90)", text_anchor="middle"),
        tag("rect", class_="box", x=left, y=top, width=k * cell, height=k * cell),
    ]
    for i, name in enumerate(short):
        at = (i + 0.5) * cell
        above = f"translate({left + at + (4 if rotated else 0)} {top - 7}){rotated}"
        parts.append(tag("text", name, x=left - 6, y=top + at + 4, text_anchor="end"))
        parts.append(tag("text", name, transform=above, text_anchor="start" if rotated else "middle"))
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    for row, column in np.argwhere(confusion):
        count = f"{confusion[row, column]:,}"
        tooltip = tag("title", f"true {names[row]}, inferred {names[column]}: {count}")
        css_class, shade = "right" if row == column else "wrong", math.sqrt(shares[row, column])
        x, y = left + column * cell, top + row * cell
        box = {"x": x + 0.5, "y": y + 0.5, "width": cell - 1, "height": cell - 1}
        parts.append(tag("rect", tooltip, class_=css_class, fill_opacity=f"{shade:.3f}", **box))
        ink = "on" if shade > 0.6 else "off"
        parts.append(tag("text", count, class_=ink, x=x + cell / 2, y=y + cell / 2 + 4, text_anchor="middle"))
    width, height, correct = left + k * cell + 2, top + k * cell + 2, np.trace(confusion)
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height}",
        class_="heat",
        style=f"max-width:{1.4 * width:.0f}px",
        role="img",
        aria_label=f"Confusion matrix of {k} classes; {correct:,} of {confusion.sum():,} correct.",
    )

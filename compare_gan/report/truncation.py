"""Charts of scores over the truncation of latent vectors."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare_gan.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axes, px, ticks
from compare_gan.report.collect import StudyReport
from compare_gan.report.markup import Markup, join, tag
from compare_gan.report.words import count, name_of

MOST = 6  # scores
# For the figure as a file; in the report, the classes of style.css.
STYLE = Markup(
    "text{font:11px sans-serif;fill:#555}.rule{stroke:#ddd}.axis{stroke:#888}circle{fill:#3b6ea5}"
    ".smooth{fill:none;stroke:#3b6ea5;stroke-width:2}"
)


def section(study: StudyReport) -> Markup:
    """The charts of all runs that were scored over the truncation; empty if there are none."""
    parts = []
    for run in study.runs:
        if run.truncation and (drawn := charts(run.truncation)):
            title = f"{name_of(run.key)}, step {count(run.truncation['step'])}"
            parts += [tag("h3", title), tag("div", *(tag("figure", each) for each in drawn), class_="charts")]
    if not parts:
        return Markup()
    caption = (
        "Latent values beyond the threshold, in standard deviations, are drawn again: lower thresholds give "
        "more typical and less diverse images. Dashed lines are without truncation."
    )
    return join(tag("p", caption), *parts)


def charts(curve: Mapping[str, Any]) -> list[Markup]:
    """A chart for each of the first scores of a curve, see `records.TRUNCATION`."""
    known = list(dict.fromkeys(name for point in curve["points"] for name in point["scores"]))
    return [drawn for name in known if (drawn := chart(curve, name))][:MOST]


def chart(curve: Mapping[str, Any], name: str) -> Markup:
    """A score over the threshold, dashed without truncation; empty if there are fewer than two points."""
    scores = {point["truncation"]: point["scores"].get(name) for point in curve["points"]}
    whole = scores.pop(None, None)
    points = sorted((threshold, value) for threshold, value in scores.items() if value is not None)
    if len(points) < 2:
        return Markup()
    x, y = np.array(points).T
    values = [*y, *([] if whole is None else [whole])]
    margin = 0.1 * (max(values) - min(values)) or 1.0
    axes = Axes((0.0, float(x[-1])), (min(values) - margin, max(values) + margin))
    parts = [
        tag("text", name, x=0, y=TOP - 10),
        tag("text", "truncation", x=WIDTH - RIGHT, y=HEIGHT - 4, text_anchor="end"),
    ]
    for value in ticks(*axes.y):
        _, height = axes.at(0, value)
        parts.append(tag("line", class_="rule", x1=LEFT, x2=WIDTH - RIGHT, y1=px(height), y2=px(height)))
        parts.append(tag("text", f"{value:,.10g}", x=LEFT - 6, y=px(height + 3.5), text_anchor="end"))
    for value in ticks(*axes.x):
        across, _ = axes.at(value, axes.y[0])
        parts.append(tag("text", f"{value:g}", x=px(across), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    if whole is not None:
        _, height = axes.at(0, whole)
        title = tag("title", f"without truncation: {whole:.4g}")
        line = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": px(height), "y2": px(height)}
        parts.append(tag("line", title, class_="axis", stroke_dasharray="5 4", **line))
    corners = axes.at(x, y)
    parts.append(tag("polyline", class_="smooth c0", points=" ".join(f"{px(a)},{px(b)}" for a, b in corners)))
    for (threshold, value), (across, height) in zip(points, corners, strict=True):
        title = tag("title", f"{threshold:g}: {value:.4g}")
        parts.append(tag("circle", title, class_="c0", cx=px(across), cy=px(height), r=3))
    ends = f"from {y[0]:.4g} at {x[0]:g} to {y[-1]:.4g} at {x[-1]:g}"
    label = f"{name} over the truncation threshold, {ends}."
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart",
        role="img",
        aria_label=label,
    )


def figure(curve: Mapping[str, Any]) -> str:
    """The charts side by side, as an SVG document; empty without any."""
    drawn = charts(curve)
    if not drawn:
        return ""
    placed = [tag("svg", each, x=i * WIDTH, width=WIDTH, height=HEIGHT) for i, each in enumerate(drawn)]
    size = f"0 0 {WIDTH * len(drawn)} {HEIGHT}"
    background = tag("rect", width="100%", height="100%", fill="#fff")
    return join(
        tag("svg", tag("style", STYLE), background, *placed, xmlns="http://www.w3.org/2000/svg", viewBox=size)
    )

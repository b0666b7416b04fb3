"""A picture of ratios: one bar each, on a logarithmic scale, with a line at 1."""

import math
from collections.abc import Mapping

from compare_gan.report.markup import tag

WIDTH, ROW, NAMES, NUMBERS = 720, 26, 300, 60


def bars(ratios: Mapping[str, float]) -> str:
    """An SVG document."""
    most = max([2.0, *(max(ratio, 1 / ratio) for ratio in ratios.values())])
    unit = (WIDTH - NAMES - NUMBERS) / (2 * math.log(most))
    one = NAMES + unit * math.log(most)
    parts = []
    for i, (name, ratio) in enumerate(ratios.items()):
        end, y = one + unit * math.log(ratio), ROW * i
        parts += [
            tag("text", name, x=NAMES - 8, y=y + 17, text_anchor="end", font_size=13),
            tag(
                "rect",
                x=round(min(one, end), 1),
                y=y + 4,
                width=round(abs(end - one), 1),
                height=ROW - 8,
                fill="#3b6ea5" if ratio >= 1 else "#c0564a",
            ),
            tag("text", f"{ratio:.2f}x", x=round(max(one, end) + 6, 1), y=y + 17, font_size=13),
        ]
    height = ROW * max(1, len(ratios))
    line = tag("line", x1=round(one, 1), x2=round(one, 1), y1=0, y2=height, stroke="#555")
    return tag(
        "svg",
        *parts,
        line,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        font_family="sans-serif",
    )

"""Pictures of ratios: bars on a logarithmic scale with a line at 1, and a table of coloured cells."""

import math
from collections.abc import Mapping, Sequence

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


CELL, LABELS = 108, 250  # widths of a cell and of the row names
ORANGE, BLUE = (192, 86, 74), (59, 110, 165)
FULL = 4.0  # the ratio from which a colour is at its strongest


def grid(rows: Mapping[str, Mapping[str, tuple[float, str]]], columns: Sequence[str], *, title: str) -> str:
    """An SVG document: a table whose cells are coloured by ratio, red below 1 and blue above.

    Args:
      rows: ratio and text of each cell, by row and column; cells may be missing.
      columns: their order. A comma in a name begins a second line.
      title: shown above.
    """
    top = 3 * ROW
    parts = [tag("text", title, x=8, y=18, font_size=14)]
    for j, column in enumerate(columns):
        for i, words in enumerate(column.split(", ", 1)):
            x = LABELS + CELL * (j + 0.5)
            parts.append(tag("text", words, x=x, y=ROW * (1 + i) + 18, text_anchor="middle", font_size=12))
    for i, (name, cells) in enumerate(rows.items()):
        y = top + ROW * i
        parts.append(tag("text", name, x=LABELS - 8, y=y + 17, text_anchor="end", font_size=12))
        for j, column in enumerate(columns):
            if column in cells:
                ratio, words = cells[column]
                x, colour = LABELS + CELL * j, shade(ratio)
                parts += [
                    tag("rect", x=x + 1, y=y + 1, width=CELL - 2, height=ROW - 2, fill=colour),
                    tag("text", words, x=x + CELL / 2, y=y + 17, text_anchor="middle", font_size=12),
                ]
    size = LABELS + CELL * len(columns), top + ROW * len(rows)
    return tag(
        "svg",
        tag("rect", width=size[0], height=size[1], fill="#fff"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {size[0]} {size[1]}",
        font_family="sans-serif",
    )


def shade(ratio: float) -> str:
    """From white at 1 to red at 1 / `FULL` and blue at `FULL`, on a logarithmic scale."""
    strength = 0.75 * min(1.0, abs(math.log(ratio)) / math.log(FULL))
    target = BLUE if ratio >= 1 else ORANGE
    return "#" + "".join(f"{round(255 + strength * (value - 255)):02x}" for value in target)

"""Tables and paragraphs as lines of text, for a terminal or Markdown."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from compare_gan.core.errors import printable

WIDTH = 100  # of a terminal
NBSP = "\N{NO-BREAK SPACE}"  # `textwrap` does not break a line here
FIRST, OTHER = 28, 16  # column widths of tables that are printed line by line

Cell = str | int


def row(name: str, *cells: Cell) -> str:
    """A line with columns of fixed widths, for tables that are printed line by line."""
    return f"{name:<{FIRST}}" + "".join(f"{_text(cell):>{OTHER}}" for cell in cells)


def table(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Lines with columns as wide as their widest cell; the first is aligned left, all others right."""
    texts = [[_text(cell) for cell in cells] for cells in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for first, *rest in texts:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def markdown(values: Mapping[str, Any]) -> str:
    """A Markdown table of two columns: names and values."""
    lines = [f"| {name} | {_escaped(value)} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def wrapped(message: str, lead: str = "") -> list[str]:
    """A paragraph wrapped to `WIDTH`; the first line begins with `lead`, the others are indented as far."""
    lines = textwrap.wrap(message, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    return [line.replace(NBSP, " ") for line in lines]


def _text(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell


def _escaped(value: Any) -> str:
    return printable(str(value)).replace("|", "\\|")

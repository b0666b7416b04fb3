"""Tables and paragraphs as text, for a terminal or Markdown."""

import dataclasses
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compare_gan.core.errors import printable

WIDTH = 100  # of a terminal
NBSP = "\N{NO-BREAK SPACE}"  # `textwrap` does not break a line here
FIRST, OTHER = 28, 16  # widths of fixed columns
SPACE = 3  # between columns that `rich` draws

Cell = str | int


@dataclasses.dataclass(frozen=True)
class Table:
    """A table to print. The first column is aligned left, all others right.

    Args:
      rows: the header, then the body; a single row is no header.
      fixed: columns have the same widths in all such tables, not those of their widest cells.
    """

    rows: Sequence[Sequence[Cell]]
    fixed: bool = False


def text(parts: Iterable[str | Table]) -> str:
    """Lines and tables as text for standard output: on a terminal, `rich` draws the tables."""
    draw = _drawn if sys.stdout.isatty() else _plain
    return "\n".join(_line(part) if isinstance(part, str) else draw(part) for part in parts)


def _plain(table: Table) -> str:
    texts = [[_text(cell) for cell in cells] for cells in table.rows]
    if table.fixed:
        return "\n".join(_fixed(*cells) for cells in texts)
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for first, *rest in texts:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def _fixed(first: str, *others: str) -> str:
    return (f"{first:<{FIRST}}" + "".join(f"{cell:>{OTHER}}" for cell in others)).rstrip()


def _drawn(table: Table) -> str:
    # Imported here: `compare-gan --help` must start fast.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    texts = [[Text(_text(cell)) for cell in cells] for cells in table.rows]
    header, body = (texts[0], texts[1:]) if len(texts) > 1 else ([], texts)
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, show_header=bool(header))
    for number in range(max(map(len, texts))):
        grid.add_column(
            header[number] if number < len(header) else "",
            justify="right" if number else "left",
            overflow="fold",
            min_width=(OTHER - SPACE if number else FIRST) if table.fixed else None,
        )
    for cells in body:
        grid.add_row(*cells)
    console = Console()
    with console.capture() as captured:
        console.print(grid)
    return captured.get().rstrip("\n")


def markdown(values: Mapping[str, Any]) -> str:
    """A Markdown table of two columns: names and values."""
    lines = [f"| {name} | {_escaped(value)} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def wrapped(message: str, lead: str = "") -> list[str]:
    """A paragraph wrapped to `WIDTH`; the first line begins with `lead`, the others are indented as far."""
    lines = textwrap.wrap(message, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    return [printable(line.replace(NBSP, " ")) for line in lines]


def _text(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else printable(cell)


def _line(text: str) -> str:
    """Text from files is printed without its control characters, which could change the terminal."""
    return "\n".join(map(printable, text.split("\n")))


def _escaped(value: Any) -> str:
    return printable(str(value)).replace("|", "\\|")

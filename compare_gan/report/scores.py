"""A table of scores as a stand-alone HTML page."""

from collections.abc import Sequence

from compare_gan.core.outputs import GENERATOR
from compare_gan.report.markup import Markup, join, tag

STYLE = Markup(
    "body{font:15px system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.4em 1em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}"
)


def scores_page(header: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """The page as HTML: a table with notes below it."""

    def row(cells: Sequence[str], cell_tag: str) -> Markup:
        return tag("tr", *(tag(cell_tag, cell) for cell in cells))

    return join(
        Markup("<!doctype html>\n"),
        tag("meta", charset="utf-8"),
        Markup(GENERATOR),
        tag("title", "Scores"),
        tag("style", STYLE),
        tag("h1", "Scores"),
        tag("table", row(header, "th"), *(row(cells, "td") for cells in body)),
        *(tag("p", note) for note in notes),
    )

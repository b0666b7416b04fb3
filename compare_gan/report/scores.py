"""A table of scores as a stand-alone HTML page."""

from collections.abc import Sequence

from compare_gan.report.markup import tag
from compare_gan.report.shell import document


def scores_page(header: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """The page as HTML: a table with notes below it."""
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in header)))
    rows = (tag("tr", *(tag("td", cell) for cell in cells)) for cells in body)
    return document(
        "Scores",
        tag("h1", "Scores"),
        tag("div", tag("table", head, tag("tbody", *rows), class_="scores runs"), class_="scroll"),
        *(tag("p", note, class_="note") for note in notes),
    )

"""Tables as text."""

from compare_gan.core.tables import WIDTH, markdown, row, table, wrapped
from compare_gan.core.words import amount


def test_columns_are_as_wide_as_their_widest_cell():
    assert table([("", "runs", "time"), ("s3gan", 1200, "0:30"), ("all", 5, "")]) == [
        "        runs  time",
        "s3gan  1,200  0:30",
        "all        5",
    ]


def test_a_row_has_fixed_widths():
    assert row("images", 1200, "x") == "images" + " " * 22 + " " * 11 + "1,200" + " " * 15 + "x"


def test_markdown_cells_cannot_break_the_table():
    assert markdown({"a": "x|y", "b": "1\n2"}).splitlines()[2:] == ["| a | x\\|y |", "| b | 1\\n2 |"]


def test_a_paragraph_is_indented_as_far_as_what_leads_it():
    first, *rest = wrapped("word " * 60, "* ")
    assert first.startswith("* word") and all(line.startswith("  word") for line in rest)
    assert max(map(len, [first, *rest])) <= WIDTH


def test_amounts_have_three_digits():
    assert [amount(value) for value in (7, 999.4, 29_300_000)] == ["7  ", "999  ", "29.3 M"]

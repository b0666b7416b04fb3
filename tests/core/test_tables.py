"""Tables as text."""

import re
import sys

from compare_gan.core.tables import WIDTH, Table, markdown, text, wrapped
from compare_gan.core.words import amount

RUNS = Table([("", "runs", "time"), ("s3gan", 1200, "0:30"), ("all", 5, "")])


def unstyled(drawn):
    return [re.sub("\x1b\\[[0-9;]*m", "", line).rstrip() for line in drawn.splitlines()]


def test_columns_are_as_wide_as_their_widest_cell():
    assert text([RUNS, "two methods"]).splitlines() == [
        "        runs  time",
        "s3gan  1,200  0:30",
        "all        5",
        "two methods",
    ]


def test_fixed_columns_have_the_same_widths_in_every_table():
    expected = "images" + " " * 22 + " " * 11 + "1,200" + " " * 15 + "x"
    assert text([Table([("images", 1200, "x")], fixed=True)]) == expected


def test_on_a_terminal_the_header_is_bold_and_has_a_rule(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    drawn = text([RUNS, "two methods"])
    assert "\x1b[1m" in drawn.splitlines()[0]
    assert unstyled(drawn) == [
        "         runs   time",
        "────────────────────",
        "s3gan   1,200   0:30",
        "all         5",
        "two methods",
    ]


def test_fixed_columns_have_the_same_widths_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    single, several = Table([("[bold]", 1)], fixed=True), Table([("a", "b"), ("  c",)], fixed=True)
    row, header, rule, last = unstyled(text([single, several]))
    assert row == f"{'[bold]':<28}{1:>16}" and header == f"{'a':<28}{'b':>16}"
    assert rule == "─" * 44 and last == "  c"


def test_a_wide_table_fits_the_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    lines = unstyled(text([Table([("run", "fid"), ("runs/" + "long" * 20, "1.25")])]))
    assert max(map(len, lines)) <= 40
    words = " ".join(lines[2:]).split()
    words.remove("1.25")
    assert "".join(words) == "runs/" + "long" * 20


def test_markdown_cells_cannot_break_the_table():
    assert markdown({"a": "x|y", "b": "1\n2"}).splitlines()[2:] == ["| a | x\\|y |", "| b | 1\\n2 |"]


def test_a_paragraph_is_indented_as_far_as_what_leads_it():
    first, *rest = wrapped("word " * 60, "* ")
    assert first.startswith("* word") and all(line.startswith("  word") for line in rest)
    assert max(map(len, [first, *rest])) <= WIDTH


def test_amounts_have_three_digits():
    assert [amount(value) for value in (7, 999.4, 29_300_000)] == ["7  ", "999  ", "29.3 M"]

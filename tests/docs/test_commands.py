"""The commands that the documentation shows exist, with the options that they are shown with."""

import re
import shlex

import pytest

from compare_gan.main import normalize_option, parser

from .components import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REQUIRED = {"train": ["--model_dir", "M"]}  # stands for what a shown `...` leaves out


def shown(page) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    text = "".join(blocks).replace("\\\n", " ")
    return re.findall(r"^(?:\.venv/bin/)?compare-gan (?!--help).*$", text, re.MULTILINE)


COMMANDS = [(str(page.relative_to(ROOT)), line) for page in PAGES for line in shown(page)]


@pytest.mark.parametrize("page, line", COMMANDS)
def test_the_command_line_is_accepted(page, line):
    _, *words = shlex.split(line, comments=True)
    if "..." in words:
        words = [*(word for word in words if word != "..."), *REQUIRED[words[0]]]
    parser().parse_args([normalize_option(word) for word in words])

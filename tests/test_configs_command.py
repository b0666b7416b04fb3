"""`compare-gan configs`, and the file names that help texts mention."""

import re

import pytest

from compare_gan.config.catalogue import COLUMNS
from compare_gan.config.recipes import FOLDER, NO_SCORE, config_file, configurations, methods
from compare_gan.core.tables import WIDTH
from compare_gan.main import main, parser
from tests.helpers.commands import refused


def test_the_list_has_needs_and_score_of_each_configuration(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    rows = [re.split(r"  +", line) for line in lines]
    cells = {cells[0]: cells for cells in rows if len(cells) >= 4}
    notes = dict(re.findall(r"^\[(\d+)\] +(.*(?:\n {5}.*)*)", "\n".join(lines), re.MULTILINE))
    for name, each in configurations().items():
        found = dict(zip(COLUMNS, cells[name], strict=False))
        assert (found["images"], found["memory"], found["time"]) == (each.images, each.memory, each.duration)
        if each.combine_with is None and each.score != NO_SCORE:
            score, number = re.fullmatch(r"(.+) \[(\d+)\]", found["score"]).groups()
            assert score == each.score and notes[number].split() == each.score_from.split()
    assert set(methods()) <= {cells[0] for cells in rows}


@pytest.mark.parametrize(
    "name, file", [("sngan_cifar10", "sngan_cifar10.gin"), ("s3gan.gin", "methods/s3gan.gin")]
)
def test_a_configuration_is_printed_as_it_is(name, file, capsys):
    assert main(["configs", name]) == 0
    assert capsys.readouterr().out == (FOLDER / file).read_text()


def test_an_unknown_configuration_is_one_line(capsys):
    refused(
        capsys, ["configs", "sngan_cifar11"], "sngan_cifar11: no such file", "did you mean 'sngan_cifar10'?"
    )


def test_files_in_help_texts_exist():
    commands = next(action for action in parser()._actions if action.choices).choices
    mentioned = {
        name for each in commands.values() for name in re.findall(r"[\w-]+\.gin\b", each.format_help())
    }
    assert {"small.gin", "s3gan.gin"} <= mentioned
    for name in mentioned:
        assert config_file(name).is_file()

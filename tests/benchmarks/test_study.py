"""The commands of the prepared studies are valid, and a piece of one ends when its time is up."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks import study
from benchmarks.study import BUDGETS, PROTOCOLS, commands, run_for
from compare_gan.config.parse import parse
from compare_gan.config.recipes import recipe
from compare_gan.core.types import ImageSpec
from compare_gan.main import parser

SPECS = {"fashion": ImageSpec((28, 28, 1), 10), "cifar10": ImageSpec((32, 32, 3), 10)}
CHOICES = [(protocol, budget) for protocol, budgets in BUDGETS.items() for budget in budgets]


@pytest.mark.parametrize(("protocol", "budget"), CHOICES)
def test_each_command_is_one_that_the_command_line_accepts(protocol, budget):
    for pilot in (False, True):
        stages = commands(protocol, BUDGETS[protocol][budget], "digits", Path("out"), pilot, 2)
        assert len(dict(stages)) == len(stages)
        for _, command in stages[1:]:  # the first is the split
            parser().parse_args(command[3:])


@pytest.mark.parametrize(("protocol", "budget"), CHOICES)
def test_each_budget_has_bindings_that_make_a_gan(protocol, budget):
    chosen = BUDGETS[protocol][budget]
    networks = "small32" if "small32.gin" in chosen.study else "small"
    gan = parse([recipe(networks), recipe("no_labels")], list(chosen.bindings)).gan(
        SPECS.get(protocol, SPECS["cifar10"])
    )
    assert gan.batch_size in (32, 64)


def test_every_arm_of_the_protocol_is_trained_three_times():
    runs = {(m, f, s) for g in PROTOCOLS["fashion"] for m in g.methods for f in g.fractions for s in g.seeds}
    for method in ("s3gan", "s2gan", "noise_matched", "labelled_only", "s3gan_co", "s3gan+diffaugment"):
        for fraction in (0.001, 0.01, 0.05, 0.1, 0.2):
            assert {(method, fraction, seed) for seed in range(3)} <= runs
    for method in ("all_labels", "all_labels_rotation", "noise_matched", "s2gan", "s3gan"):
        assert {(method, 0.1, seed) for seed in range(6)} <= runs


def code(body: str) -> list[str]:
    return [sys.executable, "-c", f"import signal, sys, time\n{body}"]


@pytest.mark.parametrize(
    ("body", "grace", "expected"),
    [
        ("pass", None, 0),
        ("sys.exit(2)", None, 2),
        ("signal.signal(signal.SIGINT, lambda *_: sys.exit(130))\ntime.sleep(60)", None, None),
        ("signal.signal(signal.SIGINT, lambda *_: sys.exit(0))\ntime.sleep(60)", None, 0),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)", 0.1, None),
    ],
    ids=["ends", "fails", "is interrupted", "ends on the interrupt", "is killed"],
)
def test_a_command_runs_until_the_time_is_up(body, grace, expected):
    seconds = 30 if "sleep" not in body else 1.0
    began = time.monotonic()
    assert run_for(code(body), seconds, grace) == expected
    assert time.monotonic() - began < 30


def test_finished_stages_are_not_repeated(tmp_path, monkeypatch):
    ran = tmp_path / "ran.txt"
    note = code(f"open({str(ran)!r}, 'a').write('x')")
    stages = [("first", note), ("second", code("sys.exit(5)"))]
    monkeypatch.setattr(study, "commands", lambda *_: stages)
    words = ["study", "--protocol", "smoke", "--budget", "look", "--data", "digits", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert (study.main(), study.main()) == (5, 5)
    assert ran.read_text() == "x"
    stages[1] = ("second", note)
    monkeypatch.setattr(sys, "argv", [*words, "--minutes", "0"])
    assert study.main() == study.UNFINISHED
    monkeypatch.setattr(sys, "argv", words)
    assert study.main() == 0
    assert ran.read_text() == "xx"

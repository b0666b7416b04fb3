"""The line that tells how far long work has come."""

import pytest

from compare_gan.core import progress
from compare_gan.core.progress import Progress, clock


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (75, "1:15"), (59.6, "1:00"), (3599.4, "59:59"), (3600, "1:00:00"), (36061, "10:01:01")],
)
def test_clock(seconds, shown):
    assert clock(seconds) == shown


@pytest.fixture
def now(monkeypatch):
    time = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def test_a_log_gets_a_line_now_and_then_and_the_last(now, capsys):
    line = Progress("run", 100, start=20)
    now[0] += 5
    line.update(30, {"loss": 1.0})
    assert capsys.readouterr().out == ""
    now[0] += 5
    line.update(40, {"loss/d": 1.23456, "loss/g": 0.5})
    assert capsys.readouterr().out == "run: 40/100  2.0 steps/s  0:30 left  loss/d 1.23  loss/g 0.5\n"
    now[0] += 1
    line.update(100, {})
    assert capsys.readouterr().out == "run: 100/100  7.3 steps/s  0:00 left  \n"


def test_a_terminal_gets_one_line_rewritten(now, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    line = Progress("run", 10)
    for step in (1, 2, 10):
        now[0] += 0.1
        line.update(step, {})
    shown = capsys.readouterr().out
    assert [part.split("  ")[0] for part in shown.split("\r\033[K")[1:]] == ["run: 1/10", "run: 10/10"]
    assert shown.count("\n") == 1 and shown.endswith("\n")

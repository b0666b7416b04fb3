"""Progress: lines in a log, bars on a terminal."""

import io
import logging
import os
import re
import signal
import subprocess
import sys

import pytest

from compare_gan.core import progress
from compare_gan.core.progress import Progress, bars_removed, clock
from compare_gan.main import StderrHandler
from tests.helpers.terminal import Screen


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


def open_terminal(monkeypatch, **files):
    """Puts a terminal of 100 columns in place of standard output and standard error.

    Returns a function that returns what is on its screen. It is no fixture, since pytest replaces
    `sys.stdout` before it calls the test.
    """
    stream = io.StringIO()
    stream.isatty = lambda: True
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, files.get(name, stream))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    return lambda: Screen(stream.getvalue())


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
    assert capsys.readouterr().out == "run: 100/100  11.7 steps/s  0:00 left\n"


def test_rate_and_time_left_do_not_count_the_time_before_the_first_update(now, capsys):
    line = Progress("run", 100)
    now[0] += 60  # compilation
    line.update(1, {})
    now[0] += 10
    line.update(41, {})
    assert capsys.readouterr().out.splitlines() == ["run: 1/100", "run: 41/100  4.0 steps/s  0:15 left"]


def test_work_that_ends_with_the_first_update_shows_its_rate(now, capsys):
    line = Progress("run", 100, start=80)
    now[0] += 5
    line.update(100, {"loss": 1.0})
    assert capsys.readouterr().out == "run: 100/100  4.0 steps/s  0:00 left  loss 1\n"


def test_work_of_unknown_length_shows_no_time_left(now, capsys):
    line = Progress("download", 0, unit="bytes")
    for size in (100, 200, 300):
        now[0] += 6
        line.update(size, {})
    assert capsys.readouterr().out == "download: 200  16.7 bytes/s\n"


def test_a_bar_is_drawn_at_once_redrawn_and_becomes_a_line(now, monkeypatch):
    terminal = open_terminal(monkeypatch)
    bar = Progress("run", 10)
    assert terminal().text == [f"run {'━' * 24} 0/10"]
    now[0] += 60
    bar.update(1, {})
    assert re.sub("[━╸╺]{24}", "*", terminal().text[0]) == "run * 1/10"
    now[0] += 1
    bar.update(3, {"loss/d": 1.23456})
    now[0] += 0.1
    bar.update(4, {})  # too soon
    shown = terminal()
    assert [re.sub("[━╸╺]{24}", "*", line) for line in shown.text] == [
        "run * 3/10  2.0 steps/s  0:04 left  loss/d 1.23"
    ]
    assert shown.cursor_visible
    bar.update(10, {})
    assert terminal().text == ["run: 10/10  8.2 steps/s  0:00 left"]
    assert (terminal().row, terminal().column) == (1, 0)


def test_text_is_printed_above_the_bars(now, monkeypatch):
    handler = StderrHandler()  # made before the bar, as the command line does
    terminal = open_terminal(monkeypatch)
    bar = Progress("run", 10)
    print("a line\nand [another]")
    print("to standard error", file=sys.stderr)
    handler.handle(logging.makeLogRecord({"msg": "a warning"}))
    now[0] += 1
    bar.update(5, {})
    *above, last = terminal().text
    assert above == ["a line", "and [another]", "to standard error", "a warning"]
    assert last.startswith("run ━") and "5/10" in last


def test_nested_work_has_a_bar_below_until_it_is_done(now, monkeypatch):
    terminal = open_terminal(monkeypatch)
    outer = Progress("train", 100)
    now[0] += 1
    outer.update(50, {})
    inner = Progress("features", 8, unit="images", show_after_s=5.0)
    assert len(terminal().text) == 1
    now[0] += 6
    inner.update(2, {})
    first, second = terminal().text
    assert first.startswith("train    ━") and second.startswith("features ━") and "2/8" in second
    now[0] += 4
    inner.update(8, {})
    line, bar = terminal().text
    assert line.startswith("features: 8/8  1.5 images/s") and bar.startswith("train ━")
    outer.update(100, {})
    assert [line.split("  ")[0] for line in terminal().text] == ["features: 8/8", "train: 100/100"]


def test_the_bar_of_work_that_fails_is_removed(now, monkeypatch):
    terminal = open_terminal(monkeypatch)
    outer = Progress("outer", 10)

    def fail():
        inner = Progress("inner", 10)
        now[0] += 1
        inner.update(5, {})
        raise RuntimeError("failed")

    with pytest.raises(RuntimeError) as error, bars_removed():
        fail()
    assert error.traceback  # holds a reference to `inner`
    assert len(terminal().text) == 1 and terminal().text[0].startswith("outer")
    del outer
    print("after")
    assert terminal().text == ["after"]


def test_standard_error_that_is_a_file_stays_one(monkeypatch):
    log = io.StringIO()
    terminal = open_terminal(monkeypatch, stderr=log)
    bar = Progress("run", 10)
    print("to the file", file=sys.stderr)
    assert log.getvalue() == "to the file\n" and len(terminal().text) == 1
    del bar


WORK = """
import sys, time
from compare_gan.core.interrupt import stop_requested
from compare_gan.core.progress import Progress, bars_removed

with bars_removed(), stop_requested() as stopping:
    bar = Progress("run", 1000)
    for step in range(1, 1000):
        time.sleep(0.02)
        bar.update(step, {"loss": 1.0})
        if stopping():
            break
print("stopped")
"""


def test_ctrl_c_leaves_a_clean_terminal():
    pty = pytest.importorskip("pty")
    main, other = pty.openpty()
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WORK]
    with subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
    ) as process:
        os.close(other)
        output = b""
        while b"loss" not in output:
            output += os.read(main, 4096)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                output += os.read(main, 4096)
            except OSError:  # the program has ended
                break
    os.close(main)
    screen = Screen(output.decode().replace("\r\n", "\n"))
    assert process.returncode == 0
    assert screen.text == [
        "",
        "stopping after this step, and saving; Ctrl-C again to stop at once",
        "stopped",
    ]
    assert screen.cursor_visible and screen.column == 0

"""Ctrl-C, with real signals to a real process."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import compare_gan
from compare_gan.core.interrupt import stop_requested

WORK = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts jobs behind it ignores it
from compare_gan.core.interrupt import stop_requested
with stop_requested() as stop:
    print("ready", flush=True)
    until = time.monotonic() + 30
    while not stop() and time.monotonic() < until:
        time.sleep(0.01)
    print("saved" if stop() else "never asked", flush=True)
    {then}
print("handler", signal.getsignal(signal.SIGINT).__name__, flush=True)
"""


def started(then="pass"):
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(compare_gan.__file__).parents[1],
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_the_first_signal_lets_the_work_end_well(number):
    with started() as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.split("\n")[1:] == [
        "stopping after this step, and saving; Ctrl-C again to stop at once",
        "saved",
        "handler default_int_handler",
        "",
    ]


def test_the_second_ctrl_c_stops_at_once():
    with started("time.sleep(30)") as process:
        process.send_signal(signal.SIGINT)
        while process.stdout.readline() != "saved\n":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err


def test_other_threads_are_never_asked():
    before, answers = signal.getsignal(signal.SIGINT), []

    def work():
        with stop_requested() as stop:
            answers.append((stop(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [(False, True)]

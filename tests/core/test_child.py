"""A child process answers, can be stopped, and ends with its parent."""

import signal
import subprocess
import sys
import threading
import time

from compare_gan.core.child import ask, stop

CHILD = "tests.helpers.echo_child"


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def written(path):
    return path.read_text() if path.exists() else ""


def test_a_child_answers_or_dies():
    assert ask(CHILD, b"hello", "a", {"ECHO": "world"}) == (b"hello world", 0)
    assert ask(CHILD, b"die", "a", {}) == (None, -signal.SIGKILL)
    assert ask("no.such.module", b"x" * 2**20, "a", {}) == (None, 1)


def test_only_the_children_of_an_owner_are_stopped(tmp_path):
    answers = {}

    def start(name):
        question = f"wait {tmp_path / name}".encode()
        answers[name] = ask(CHILD, question, owner=name, environment={})

    threads = [threading.Thread(target=start, args=(name,)) for name in ("mine", "other")]
    for thread in threads:
        thread.start()
    for name in ("mine", "other"):
        wait_for(lambda name=name: written(tmp_path / name).isdecimal())
    assert stop("mine") == 1 and stop("nobody") == 0
    threads[0].join()
    assert written(tmp_path / "mine") == "saved" and answers == {"mine": (b"wait ", 0)}
    assert stop("mine") == 0 and written(tmp_path / "other").isdecimal()
    assert stop("other") == 1
    threads[1].join()


def test_a_child_saves_and_ends_when_its_parent_is_killed(tmp_path):
    code = f"from compare_gan.core.child import ask; ask({CHILD!r}, b'wait {tmp_path / 'file'}', 'a', {{}})"
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: written(tmp_path / "file").isdecimal())
    parent.kill()
    parent.wait()
    wait_for(lambda: written(tmp_path / "file") == "saved")

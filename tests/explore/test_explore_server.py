"""`compare-gan explore`: what its server answers, and whom."""

import base64
import contextlib
import http.client
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from PIL import Image

import compare_gan.commands.sample as sample_command
from compare_gan.core.errors import UserError
from compare_gan.core.sampler import spherical
from compare_gan.explore.server import MAX_WAITING, Server, Worker
from compare_gan.explore.views import VIEWS, path
from compare_gan.main import main
from tests.helpers.commands import refused

from .toy import NAMES, NONE, explorer, sampler, training_images


@contextlib.contextmanager
def served(explorer):
    with Server(explorer, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server():
    with served(explorer()) as server:
        yield server


def get(server, view, parameters=(), method="GET", **headers):
    """The status, the headers and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    query = urlencode({"token": server.token, **dict(parameters)})
    connection.request(method, f"/{view}?{query}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def value(server, view, **parameters):
    status, _, body = get(server, view, parameters)
    assert status == 200, body
    return json.loads(body)


def pixels(shown):
    """The tiles [R, C, 3] of a picture, each of which has one colour."""
    with Image.open(io.BytesIO(png(shown))) as picture:
        found = np.asarray(picture)
    rows, columns = shown["rows"], shown["columns"]
    cut = found.reshape(rows, found.shape[0] // rows, columns, found.shape[1] // columns, 3)
    assert (cut == cut[:, :1, :, :1]).all()
    return cut[:, 0, :, 0]


def png(shown):
    head, body = shown["picture"].split(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(body)


def test_the_command_shown_writes_the_same_file(server, monkeypatch, tmp_path):
    monkeypatch.setattr(sample_command, "sampler_from_run", lambda *_: sampler())
    shown = value(server, "samples", seed=41, columns=3, classes="1,3,2")
    program, *words = shlex.split(shown["command"])
    assert program == "compare-gan" and words[:2] == ["sample", "runs/a b"] and words[-1] == "samples.png"
    assert main([*words[:-1], str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").read_bytes() == png(shown)
    assert pixels(shown)[..., 0].tolist() == [[42, 45, 48], [43, 46, 49], [44, 47, 50]]


def test_the_command_shown_for_an_unconditional_generator(monkeypatch, tmp_path):
    monkeypatch.setattr(sample_command, "sampler_from_run", lambda *_: sampler(names=(), prior="normal"))
    shown = VIEWS["samples"](
        explorer(names=(), prior="normal"), {"seed": "3", "columns": "2", "truncation": "0.5"}
    )
    _, *words = shlex.split(shown["command"])
    assert main([*words[:-1], str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").read_bytes() == png(shown)
    assert (shown["rows"], shown["columns"]) == (10, 2)


def test_images_between_two(server):
    """Colours are linear in the latent vector and in the weights of the classes."""
    shown = value(server, "between", a="10.4.0", b="90.20.1", z="0,0.5,1", y="0,0.25,1")
    found = pixels(shown)
    assert found[..., 0].tolist() == [[15, 63, 111]] * 3
    assert found[..., 1].tolist() == [[0] * 3, [64] * 3, [255] * 3]
    samples = pixels(value(server, "samples", seed=10, columns=5, classes="0"))
    assert (found[0, 0] == samples[0, 4]).all()  # image 4 of seed 10


def test_gaussian_vectors_keep_their_length_and_the_ends_are_exact():
    a, b = np.random.default_rng(0).normal(size=(2, 1, 64)).astype(np.float32)
    t = np.array([0, 0.3, 1], np.float32)
    points = path(a, b, t, {"name": "normal"})
    assert (points[0] == a).all() and (points[2] == b).all()
    np.testing.assert_allclose(points[1], np.asarray(spherical(a, b, t))[0, 1], rtol=1e-5)
    expected = 0.7 * np.linalg.norm(a) + 0.3 * np.linalg.norm(b)
    assert np.linalg.norm(points[1]) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(path(a, b, t, {"name": "uniform"})[1], 0.7 * a[0] + 0.3 * b[0], rtol=1e-5)


def test_the_page_and_what_it_may_do(server):
    status, headers, body = get(server, "")
    assert status == 200 and b"<script>" in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'sha256-" in policy
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
    assert "python" not in headers["Server"].lower()
    about = value(server, "about")
    assert about["classes"] == list(NAMES) and about["training"] == NONE and not about["truncation"]


@pytest.mark.parametrize("token", ["", "x", "é", None])
@pytest.mark.parametrize("view", ["", "about", "samples", "nowhere"])
def test_without_the_token_nothing_is_told(server, view, token):
    parameters = {"seed": 0, "columns": 1, "classes": 0} | ({} if token is None else {"token": token})
    if token is None:
        parameters["token"] = server.token[:-1]
    status, _, body = get(server, view, parameters)
    assert status == 403 and b"toy" not in body and json.loads(body)["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "[::1]", ""])
def test_requests_for_other_hosts_are_refused(server, host):
    assert get(server, "about", Host=host)[0] == 403


def test_the_names_of_this_machine_are_accepted(server):
    for host in ("localhost", "localhost:9000", f"127.0.0.1:{server.server_port}"):
        assert get(server, "about", Host=host)[0] == 200


def test_it_listens_on_the_loopback_address_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert urlsplit(server.url).hostname == "127.0.0.1" and server.token in server.url
    assert get(server, "about", method="POST")[0] == 501


@pytest.mark.parametrize(
    "view, parameters, expected",
    [
        ("samples", {"seed": -1, "columns": 1, "classes": 0}, "seed is '-1'; it must be a whole"),
        ("samples", {"seed": 2**32, "columns": 1, "classes": 0}, "to 4294967295"),
        ("samples", {"columns": 1, "classes": 0}, "seed is ''"),
        ("samples", {"seed": "٣", "columns": 1, "classes": 0}, "seed is"),
        ("samples", {"seed": 0, "columns": 0, "classes": 0}, "columns is '0'"),
        ("samples", {"seed": 0, "columns": 51, "classes": "0,1,2,3"}, "204 images; ask for 1 to 200"),
        ("samples", {"seed": 0, "columns": 1, "classes": "4"}, "class is '4'; it must be"),
        ("samples", {"seed": 0, "columns": 1}, "class is ''"),
        ("samples", {"seed": 0, "columns": 1, "classes": 0, "truncation": "x"}, "truncation is 'x'"),
        ("samples", {"seed": 0, "columns": 1, "classes": 0, "truncation": "0.5"}, "needs a Gaussian prior"),
        ("between", {"a": "0.0", "b": "0.0.0"}, "a is '0.0'; it must be SEED.INDEX or SEED.INDEX.CLASS"),
        ("between", {"a": "0.0.0", "b": "0.9999999999.0"}, "index is '9999999999'"),
        ("between", {"a": "0.0.0", "b": "0.0.0", "z": "1.1"}, "z is '1.1'; it must be numbers from 0 to 1"),
        ("between", {"a": "0.0.0", "b": "0.0.0", "y": "nan"}, "y is 'nan'"),
        ("between", {"a": "0.0.0", "b": "0.0.0", "z": ",".join(["0"] * 201)}, "201 images"),
        ("nearest", {"a": "0.0.0", "b": "0.0.0"}, NONE),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_in_one_line(server, view, parameters, expected):
    status, _, body = get(server, view, parameters)
    message = json.loads(body)["error"]
    assert status == 400 and expected in message and "\n" not in message


def test_unknown_views_and_long_queries(server):
    assert get(server, "nowhere")[0] == 404
    assert get(server, "about", {f"p{i}": i for i in range(30)})[0] == 400


def test_large_images_come_in_smaller_numbers():
    assert explorer(side=64).most == 200 and explorer(side=128).most == 50 and explorer(side=512).most == 12


def test_the_nearest_training_images(server):
    training = training_images(np.arange(9, dtype=np.int32) % 5 - 1, 2)
    opened = []
    shown = VIEWS["nearest"](explorer(lambda: opened.append(1) or training), {"a": "3.0.0", "b": "0.0.0"})
    found = shown["neighbours"]
    assert [each["index"] for each in found][0] == 4 and found[0]["distance"] == 0.0
    assert {each["index"] for each in found[1:3]} == {3, 5} and len(found) == 7
    assert found[0]["class"] == NAMES[3] and shown["extractor"] == "red" and opened == [1]
    assert shown["share_nearer"] == 0.0  # no held-out image is nearer than a copy
    unlabelled = next(each for each in found if each["index"] in (0, 5))
    assert unlabelled["class"] is None
    with pytest.raises(UserError, match="nearest training images of 2 images"):
        VIEWS["nearest"](explorer(lambda: training), {"a": "3.0.0", "b": "0.0.0", "z": "0,1"})


def test_a_worker_answers_in_order_and_passes_errors_on():
    worker, done, first = Worker(), [], threading.Event()
    calls = [
        threading.Thread(target=worker.result, args=[lambda i=i: (first.wait(), done.append(i))])
        for i in range(5)
    ]
    for i, call in enumerate(calls):
        call.start()
        while i and worker.calls.qsize() < i:
            time.sleep(0.001)
    first.set()
    for call in calls:
        call.join()
    assert done == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        worker.result(lambda: 1 / 0)
    assert worker.result(lambda: 7) == 7
    worker.close()
    assert not worker.thread.is_alive()


def test_too_many_waiting_requests_and_failures_of_the_device(monkeypatch):
    toy = explorer()
    with served(toy) as server:
        for _ in range(MAX_WAITING):
            server.waiting.acquire()
        assert get(server, "about")[0] == 503
        for _ in range(MAX_WAITING):
            server.waiting.release()

        def fail(*_):
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nmore")

        monkeypatch.setitem(VIEWS, "samples", fail)
        status, _, body = get(server, "samples")
        assert status == 500 and json.loads(body)["error"] == "failed (RESOURCE_EXHAUSTED: out of memory)"
        assert get(server, "about")[0] == 200  # the server still answers


def test_a_port_in_use_is_refused(server):
    with pytest.raises(UserError, match=rf"--port {server.server_port}: .*; choose another port"):
        Server(explorer(), server.server_port)


def test_errors_of_the_command(tmp_path, capsys):
    refused(capsys, ["explore", tmp_path, "--port", "70000"], "--port is 70000; it must be 0 to 65535")
    refused(capsys, ["explore", tmp_path], "run.json")


SCRIPT = """
import signal, sys
from unittest import mock
import compare_gan.commands.explore as command
from compare_gan.main import run
from tests.explore.toy import explorer
signal.signal(signal.SIGINT, signal.default_int_handler)
command.of_run = lambda *_: explorer()
sys.argv = ["compare-gan", "explore", "r", "--no_browser"]
run()
"""


def test_ctrl_c_ends_it_cleanly():
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    url = urlsplit(child.stdout.readline().strip())
    connection = socket.create_connection((url.hostname, url.port), timeout=20)  # idle, as browsers keep some
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    connection.close()
    assert child.returncode == 0 and err == "" and out.splitlines()[-1] == "ended"

"""Tasks on a `dask.distributed` cluster: scheduling, and what cannot work is said at once."""

import functools
import json
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time

import pytest

from compare_gan.core import remote
from compare_gan.core.errors import UserError
from compare_gan.core.interrupt import Interrupted
from compare_gan.core.lock import InUse
from compare_gan.fewlabels import dask_cluster, run
from compare_gan.fewlabels.child import outcome_of
from compare_gan.fewlabels.dask_cluster import DaskExecutor, connect
from compare_gan.fewlabels.tasks import all_done
from tests.helpers.commands import bindings, refused

from . import small

distributed = pytest.importorskip("distributed", reason="needs pip install 'compare_gan[cluster]'")

TRIES = []  # of the toy task "busy"


def toy(task):
    match task:
        case "fail":
            raise UserError("no luck")
        case "busy":
            TRIES.append(task)
            if len(TRIES) < 3:
                raise InUse("folder: in use by process 7 on node3")
        case "wait":
            time.sleep(60)
        case "pause":
            time.sleep(2)
    return task * 2


def open_toy():
    return toy


def open_nothing():
    raise UserError("images/: no such file or folder")


def in_thread(module, question, owner, environment):
    """In place of a child process."""
    question = pickle.loads(question)
    if question.task == "die":
        return None, -signal.SIGKILL
    return pickle.dumps(outcome_of(question)), 0


@pytest.fixture(scope="module")
def local():
    """Two workers, which are threads of this process."""
    options = dict(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0")
    with distributed.LocalCluster(**options, protocol="tcp", silence_logs=logging.CRITICAL) as local:
        yield local


@pytest.fixture
def cluster(local, monkeypatch):
    monkeypatch.setattr(remote, "ask", in_thread)
    monkeypatch.setattr(dask_cluster, "RETRY_S", 0.05)
    with connect(local.scheduler_address) as cluster:
        yield cluster


def test_tasks_finish_fail_die_and_wait_for_others(cluster, tmp_path):
    said = []
    TRIES.clear()
    executor = DaskExecutor(cluster, tmp_path, open_toy, said.append)
    outcomes = {o.task: (o.value, o.error) for o in executor.outcomes(["a", "fail", "busy", "die", "b"])}
    executor.close()
    assert outcomes == {
        "a": ("aa", None),
        "b": ("bb", None),
        "busy": ("busybusy", None),
        "fail": (None, "no luck"),
        "die": (None, "the worker process died, possibly out of memory"),
    }
    assert len(TRIES) == 3 and said == [
        "busy: folder: in use by process 7 on node3; tried again every 0.05 s"
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study_gives_the_results_of_one_process(cluster, tmp_path):
    study = functools.partial(small.small_study, seeds=(0,), flat=False)
    names, lines = ("s3gan", "clustering"), list[str]()
    expected = study(tmp_path / "one", *names)
    assert run.run_study(expected, say=lines.append) == []
    said = list[str]()
    found = study(tmp_path / "dask", *names)
    reopen = functools.partial(study, tmp_path / "dask", *names)
    assert run.run_study(found, 1, reopen, said.append, cluster) == [] and all_done(found)

    def rows(folder):
        paths = sorted(folder.rglob("result.json"))
        return {str(p.relative_to(folder)): json.loads(p.read_text()) | {"seconds": 0} for p in paths}

    assert rows(found.folder) == rows(expected.folder) and len(rows(found.folder)) == 2
    names = [sorted(line.split("] ")[1].split(":")[0] for line in each) for each in (lines, said)]
    assert names[0] == names[1] and [line.split("]")[0] for line in said] == [
        line.split("]")[0] for line in lines
    ]


def test_what_a_worker_needs_is_checked_before_any_task(local, cluster, tmp_path, monkeypatch):
    def message():
        with pytest.raises(UserError) as caught:
            DaskExecutor(cluster, tmp_path, open_toy, print)
        assert not list(tmp_path.iterdir())
        return str(caught.value)

    here = remote.versions()
    with monkeypatch.context() as patch:
        patch.setattr(dask_cluster, "versions", lambda: here | {"jax": "0.1"})
        assert f"has jax {here['jax']}, but this process has 0.1; install the same" in message()
    with monkeypatch.context() as patch:
        patch.setattr(remote.os.path, "isdir", lambda path: False)
        assert (
            f"does not see what is written to {tmp_path}; --model_dir must be a folder that all" in message()
        )
    for worker in local.workers.values():
        monkeypatch.setattr(worker.state, "nthreads", 4)
    assert "has 4 threads, so it would do 4 tasks at a time; start it with --nthreads 1" in message()
    assert message().startswith(f"--dask {local.scheduler_address}: worker tcp://")


def test_a_worker_that_connects_later_is_checked_too(cluster, tmp_path, monkeypatch):
    executor = DaskExecutor(cluster, tmp_path, open_toy, print)
    monkeypatch.setattr(remote, "versions", lambda: {})
    with pytest.raises(UserError, match=r"worker tcp://\S+: has python \(none\), but this process has 3"):
        list(executor.outcomes(["a", "b"]))
    executor.close()


def test_a_machine_without_the_data_stops_the_study(cluster, tmp_path):
    executor = DaskExecutor(cluster, tmp_path, open_nothing, print)
    with pytest.raises(UserError, match="a worker cannot open the study: images/: no such file or folder"):
        list(executor.outcomes(["a", "b"]))
    executor.close()


def test_a_lost_scheduler_ends_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "ask", in_thread)
    options = dict(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    local = distributed.LocalCluster(**options, protocol="tcp", silence_logs=logging.CRITICAL)
    with connect(local.scheduler_address) as cluster:
        executor = DaskExecutor(cluster, tmp_path, open_toy, print)
        threading.Timer(0.5, local.close).start()
        with pytest.raises(UserError, match="lost the connection to the scheduler; progress is saved"):
            list(executor.outcomes(["pause"]))
        executor.close()


@pytest.mark.slow
def test_children_of_workers_know_their_platform_and_can_be_stopped(local, tmp_path):
    with connect(local.scheduler_address) as cluster:
        assert cluster.platform(print) == "cpu"
        executor = DaskExecutor(cluster, tmp_path, open_toy, print)
        threading.Timer(15.0, functools.partial(os.kill, os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Interrupted, match="stopped; progress is saved"):
            list(executor.outcomes(["wait", "wait", "wait"]))
        assert not any(cluster.client.run(dask_cluster.stop, executor.owner).values())
        executor.close()


# Errors of the command


WORDS = ["study", "--data", "blobs", "--quick", *bindings(), "--model_dir"]


@pytest.mark.parametrize(
    "address", ["here", "tcp://here", "10.0.0.1:8786", "tcp://:8786", "tcp://h:port", "tcp://h:1/x"]
)
def test_a_wrong_address_is_refused(address, tmp_path, capsys):
    expected = f"--dask is {address!r}; it must be the address of a scheduler, such as tcp://HOST:8786"
    refused(capsys, [*WORDS, tmp_path / "run", "--dask", address], expected)
    assert not (tmp_path / "run").exists()


def test_a_scheduler_that_does_not_answer_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        refused(capsys, [*WORDS, tmp_path / "run", "--dask", address], f"--dask {address}: is no scheduler")
    refused(capsys, [*WORDS, tmp_path / "run", "--dask", address], "cannot be reached (Connection refused)")
    unknown = "tcp://no-such-host.invalid:8786"
    refused(capsys, [*WORDS, tmp_path / "run", "--dask", unknown], f"--dask {unknown}: cannot be reached (")
    assert not (tmp_path / "run").exists()


def test_a_scheduler_of_another_version_is_refused(local, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dask_cluster, "versions", lambda: {"distributed": "1.0"})
    expected = f"the scheduler has distributed {distributed.__version__}, but this process has 1.0"
    refused(capsys, [*WORDS, tmp_path / "run", "--dask", local.scheduler_address], expected)


def test_the_missing_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    expected = "--dask: needs dask.distributed; pip install 'compare_gan[cluster]'"
    refused(capsys, [*WORDS, tmp_path / "run", "--dask", "tcp://127.0.0.1:1"], expected)


def test_two_ways_to_run_tasks_are_refused(tmp_path, capsys):
    address = ["--dask", "tcp://127.0.0.1:1"]
    refused(
        capsys, [*WORDS, tmp_path, *address, "--workers", "2"], "--workers 2: tasks run on the workers of"
    )
    refused(capsys, [*WORDS, tmp_path, *address, "--array"], "--array and --task need neither --dask nor")

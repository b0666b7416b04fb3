"""Studies on real Dask workers, some of which are killed: the files are those of one process, bit for bit."""

import logging
import os
import signal
import time
from pathlib import Path

import pytest

from compare_gan.core.lock import record_of
from compare_gan.main import main
from tests.helpers.commands import bindings
from tests.helpers.interruption import Process, check_equal, contents, errors_in, finish, kill, wait_until

distributed = pytest.importorskip("distributed", reason="needs pip install 'compare_gan[cluster]'")
pytestmark = pytest.mark.slow

WORDS = ["study", "--data", "blobs", "--quick", "--steps", "1000", "--encoder_width", "4", *bindings()]
WORDS += ["--methods", "no_labels", "s3gan", "--fractions", "0.1", "--seeds", "0", "--model_dir"]
TRAINED = Path("seed-0") / "no_labels"  # the folder of the GAN that is being trained when something is killed


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of the study, done by one process."""
    folder = tmp_path_factory.mktemp("one") / "runs"
    assert main([*WORDS, str(folder)]) == 0
    return contents(folder)


@pytest.fixture
def start_cluster():
    """Starts a scheduler and workers, each a process."""
    clusters = []

    def start(workers):
        options = dict(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0")
        clusters.append(distributed.LocalCluster(**options, silence_logs=logging.CRITICAL))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.close()


def drive(cluster, folder):
    return Process([*WORDS, str(folder), "--dask", cluster.scheduler_address])


def unlogged(found):
    """Contents without logs: a task that saves its work between two reports also reports at that step."""
    logs = ("metrics.jsonl", "incidents.jsonl", "tfevents", "report.html")
    return {name: value for name, value in found.items() if not name.endswith(logs)}


def holder(folder):
    """The process that trains the GAN, a child of a worker."""
    return int(record_of(folder / TRAINED / "gan-in-use").read_text().split()[1])


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def in_training(folder):
    """Whether the first checkpoint is complete, and the last is not there yet."""
    return (folder / TRAINED / "checkpoints" / "200" / "sha256.json").exists()


def ended(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("lost", ["worker", "worker and child"])
def test_a_worker_that_is_killed_in_training_changes_nothing(lost, start_cluster, tmp_path, expected):
    folder = tmp_path / "runs"
    process = drive(start_cluster(2), folder)
    wait_until(process, lambda: in_training(folder))
    child = holder(folder)
    killed = [parent(child), child] if lost == "worker and child" else [parent(child)]
    for each in killed:
        os.kill(each, signal.SIGKILL)
    assert not (folder / TRAINED / "result.json").exists()
    output = finish(process, 0)
    assert "no_labels, seed 0: distance " in output and not errors_in(output)
    if lost == "worker and child":
        check_equal(contents(folder), expected)
    check_equal(unlogged(contents(folder)), unlogged(expected))


def test_two_schedulers_on_one_folder(start_cluster, tmp_path, expected):
    """A second one is refused while the first one runs, and waits for a task that is left of a killed one."""
    folder, first, second = tmp_path / "runs", start_cluster(1), start_cluster(1)
    process = drive(first, folder)
    wait_until(process, lambda: in_training(folder))
    child = holder(folder)
    os.kill(child, signal.SIGSTOP)  # so that it is still training when the second one starts
    try:
        (message,) = errors_in(finish(drive(second, folder), 2))
        assert f"{folder}: in use by process {process.pid} on " in message
        kill(process)
        process = drive(second, folder)
        wait_until(process, lambda: b"tried again every" in os.pread(process.output.fileno(), 2**20, 0))
    finally:
        os.kill(child, signal.SIGCONT)
    output = finish(process, 0)
    (line,) = [line for line in output.splitlines() if "tried again every" in line]
    assert line.startswith("no_labels, seed 0: ") and f": in use by process {child} on " in line
    assert "no_labels, seed 0: distance " in output and not errors_in(output)
    check_equal(contents(folder), expected)


def test_an_interrupted_study_saves_its_progress_and_resumes(start_cluster, tmp_path, expected):
    folder, cluster = tmp_path / "runs", start_cluster(2)
    process = drive(cluster, folder)
    wait_until(process, lambda: in_training(folder))
    child = holder(folder)
    process.send_signal(signal.SIGINT)
    assert "study: stopped; progress is saved; rerun the same command to resume" in finish(process, 130)
    wait_for(lambda: ended(child))
    steps = [int(path.name) for path in (folder / TRAINED / "checkpoints").iterdir() if path.name.isdecimal()]
    assert 200 <= max(steps) < 1000
    finish(drive(cluster, folder), 0)
    check_equal(unlogged(contents(folder)), unlogged(expected))

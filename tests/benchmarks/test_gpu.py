"""The measurements on a GPU machine: what they keep when they are cut off, and how they go on."""

import dataclasses
import gzip
import json
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import GPU, OURS, RESULTS, ROUNDS, STUDIOGAN, Entry, Results, Run, read, start, summary
from benchmarks.missing import missing
from benchmarks.step_profile import events
from benchmarks.train import peak

ROOT = Path(__file__).parents[2]
ENTRY = Entry("biggan128", OURS, "bfloat16")
ANSWER = "print('{\"ready\": true}', flush=True); input()"


def run_in(folder: Path, seconds: float = 30) -> Run:
    results = Results(folder / "out" / RESULTS)
    return Run(results, folder / "out", folder, GPU, time.monotonic() + seconds, None)


def contender(monkeypatch, code: str) -> None:
    """Lets contenders run this code; `size` is the batch size."""
    monkeypatch.setattr(
        Run, "command", lambda self, entry, size: [sys.executable, "-c", f"size = {size}\n{code}"]
    )


def test_a_line_that_was_cut_is_skipped_and_stays_apart_from_the_next(tmp_path):
    path = tmp_path / RESULTS
    Results(path).add("turn", seconds=1.5)
    with path.open("a") as file:
        file.write('{"kind": "turn", "seco')
    results = Results(path)
    results.add("turn", seconds=2.5)
    assert [line["seconds"] for line in results.of("turn")] == [1.5, 2.5]
    assert [line["seconds"] for line in read(path)] == [1.5, 2.5]


def test_a_batch_that_does_not_fit_is_halved(tmp_path, monkeypatch):
    contender(monkeypatch, f"if size > 40: raise MemoryError('RESOURCE_EXHAUSTED: allocating')\n{ANSWER}")
    run = run_in(tmp_path)
    found, size = start(run, ENTRY, run.deadline, shared=False)
    found.close()
    assert size == 32


def test_other_errors_end_an_entry_with_their_message(tmp_path, monkeypatch):
    contender(monkeypatch, "raise ValueError(f'the batch of {size} is odd')")
    run = run_in(tmp_path)
    assert "the batch of 256 is odd" in start(run, ENTRY, run.deadline, shared=False)


def test_a_contender_that_does_not_answer_is_stopped_at_the_deadline(tmp_path, monkeypatch):
    contender(monkeypatch, "import time; time.sleep(60)")
    run, began = run_in(tmp_path), time.monotonic()
    assert start(run, ENTRY, began + 0.5, shared=False) == "no time left"
    assert time.monotonic() - began < 10


def test_what_an_earlier_run_measured_is_not_measured_again(tmp_path):
    run, other = run_in(tmp_path), Entry("biggan32", OURS, "float32")
    for entry in (ENTRY, other):
        for _ in range(ROUNDS):
            assert gpu.missing(run, entry)
            run.results.add("turn", **dataclasses.asdict(entry))
    assert not gpu.missing(run, other)
    assert gpu.missing(run, ENTRY)  # it is traced, too
    run.results.add("trace", **dataclasses.asdict(ENTRY))
    assert not gpu.missing(run_in(tmp_path), ENTRY)
    assert not gpu.missing(run, Entry("biggan32", STUDIOGAN, "mixed"))  # there is no checkout


def test_the_next_contender_gets_the_batch_that_fitted_before(tmp_path, monkeypatch):
    contender(monkeypatch, ANSWER)
    run = run_in(tmp_path)
    run.results.add("ready", model="biggan128", contender=OURS, precision="bfloat16", batch_size=64)
    found, size = start(run, Entry("biggan128", STUDIOGAN, "mixed"), run.deadline, shared=False)
    found.close()
    assert size == 64


def test_the_summary_has_medians_and_ratios(tmp_path):
    results = Results(tmp_path / RESULTS)
    rows = {OURS: ("bfloat16", [90.0, 300.0, 120.0]), STUDIOGAN: ("mixed", [40.0, 20.0, 41.0])}
    for name, (precision, images) in rows.items():
        for each in images:
            values = {"images_per_second": each, "flops_per_second": 2 * each}
            results.add("turn", model="biggan32", contender=name, precision=precision, **values)
    results.add("product", precision="bfloat16", flops_per_second=480.0)
    found = summary(results)
    assert found["images_per_second_over_studiogan"] == {"biggan32, bfloat16 over mixed": 3.0}
    assert found["rates"][f"biggan32, {OURS}, bfloat16"] == {
        "images_per_second": 120.0,
        "flops_per_second": 240.0,
        "share_of_product": 0.5,
    }


def test_the_share_of_the_peak_is_that_of_the_precision():
    assert peak("NVIDIA H200", "bfloat16") == 989e12
    assert peak("NVIDIA A100-SXM4-80GB", "float32") == 156e12
    assert peak("cpu", "float32") is None


def test_a_study_goes_on_from_its_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "PART_BYTES", 1000)
    files = {"a.bin": bytes(range(256)) * 20, "seed-0/b.txt": b"text"}
    first = run_in(tmp_path / "first")
    for name, content in files.items():
        path = first.work / "study" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    gpu.pack_parts(first, first.work / "study")
    assert all(path.stat().st_size <= 1000 for path in first.out.glob("study.tar.*"))
    second = Run(first.results, first.out, tmp_path / "second", GPU, first.deadline, None)
    second.work.mkdir()
    gpu.unpack(second)
    assert {name: (second.work / "study" / name).read_bytes() for name in files} == files


def test_wheels_that_python_lacks_are_named(tmp_path):
    for name in ("numpy-1.0-py3-none-any.whl", "no_such_thing-2.0-py3-none-any.whl"):
        (tmp_path / name).touch()
    assert missing(tmp_path) == ["no_such_thing"]


def test_operations_of_a_gpu_are_counted_without_those_of_the_host(tmp_path):
    def process(pid, name):
        return {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}

    def operation(pid, ms):
        return {"ph": "X", "pid": pid, "name": "x", "dur": 1e3 * ms, "args": {"hlo_op": "dot.1"}}

    trace = [process(1, "/device:GPU:0"), process(2, "/host:CPU"), operation(1, 2.0), operation(2, 5.0)]
    with gzip.open(tmp_path / "host.trace.json.gz", "wt") as file:
        json.dump({"traceEvents": trace}, file)
    assert list(events(tmp_path)) == [("dot.1", 2.0)]


def smoke(out: Path, limit: int) -> subprocess.Popen:
    environment = os.environ | {"OUT": str(out), "PYTHON": sys.executable, "LIMIT": str(limit)}
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--smoke"]
    return subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_smoke_run_keeps_its_results_and_a_second_start_goes_on(tmp_path):
    out, limit = tmp_path / "out", 800
    results = out / RESULTS
    process, began = smoke(out, limit), time.monotonic()
    try:
        while not (results.exists() and any(line["kind"] == "trace" for line in read(results))):
            assert process.poll() is None and time.monotonic() - began < limit
            time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = list(read(results))
    entries = [*gpu.BIGGAN128, *gpu.SMALL, *(entry for group in gpu.REST for entry in group)]
    ours = [entry for entry in entries if entry.contender == OURS]

    began = time.monotonic()
    assert smoke(out, limit).wait() == 0
    assert time.monotonic() - began < limit
    lines = list(read(results))
    assert lines[: len(kept)] == kept
    assert not [line for line in lines if line["kind"] == "failed"]
    counts = {entry: len(Results(results).of("turn", entry)) for entry in ours}
    assert counts == dict.fromkeys(ours, ROUNDS)
    for line in lines:
        if line["kind"] == "turn":
            per_second = line["steps"] / line["seconds"]
            assert line["images_per_second"] == pytest.approx(line["batch_size"] * per_second)
    written = json.loads((out / "summary.json").read_text())
    for entry in ours:
        turns = [line["images_per_second"] for line in Results(results).of("turn", entry)]
        assert written["rates"][str(entry)]["images_per_second"] == statistics.median(turns)
    assert set(written["products"]) == {"bfloat16", "float32"}
    (piece,) = Results(results).of("study_piece")
    assert piece["code"] == 0
    assert piece["steps"]["study/seed-0/no_labels"] == 20
    with tarfile.open(out / "trace.tar.gz") as archive:
        assert any(name.endswith(".xplane.pb") for name in archive.getnames())

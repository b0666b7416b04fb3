"""A study runs each task once, resumes after an interruption, and survives failed tasks."""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg

from compare_gan.core.errors import UserError
from compare_gan.core.interrupt import Interrupted
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.fewlabels import budget, execute, plan, results, run
from compare_gan.fewlabels.budget import PerClass
from compare_gan.fewlabels.representation import Features
from compare_gan.fewlabels.study import Task
from compare_gan.fewlabels.tasks import all_done, dependencies, is_done, task_stages

from . import small

NAMES = ("all_labels", "s3gan", "clustering")


def wide_study(folder, **changes):
    shared = dict(seeds=(0, 1), budgets=(0.1, PerClass(4)), flat=False)
    return small.small_study(folder, *NAMES, **shared | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of two seeds, two label budgets and three methods."""
    study = wide_study(tmp_path_factory.mktemp("study"))
    assert run.run_study(study) == []
    return study


def test_shared_tasks_run_once(finished):
    kinds = [task.kind for stage in task_stages(finished) for task in stage]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "features": 2,
        "labels": 4,
        "clusters": 2,
        "gan": 8,
    }
    root = finished.folder
    found = sorted(str(path.parent.relative_to(root)) for path in root.rglob("result.json"))
    assert found == sorted(
        f"seed-{seed}/{place}"
        for seed in (0, 1)
        for place in ("all_labels", "clustering", "fraction-0.1/s3gan", "per-class-4/s3gan")
    )
    assert len(list(root.rglob("pretrained.npz"))) == 2
    assert len(list(root.rglob("labels-kept.npz"))) == 4


def test_a_second_run_does_nothing(finished, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")}
    monkeypatch.setattr(run, "run_task", None)
    assert all_done(finished) and run.run_study(finished) == []
    assert before == {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")}


def test_a_grown_study_runs_only_new_tasks(finished, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(run, "run_task", lambda study, task: ran.append(task) or {})
    run.run_study(dataclasses.replace(finished, seeds=(0, 1, 2), budgets=(0.1, 0.3)))
    assert {task.name for task in ran} == {
        "features, seed 2",
        "labels, 10% of the labels, seed 2",
        *(f"labels, 30% of the labels, seed {seed}" for seed in (0, 1, 2)),
        "clusters, seed 2",
        "all_labels, seed 2",
        "clustering, seed 2",
        "s3gan, 10% of the labels, seed 2",
        *(f"s3gan, 30% of the labels, seed {seed}" for seed in (0, 1, 2)),
    }


def test_the_summary_matches_the_runs(finished):
    summary = results.summarise(finished)
    rows = [json.loads(path.read_text()) for path in finished.folder.rglob("result.json")]
    assert len(summary["runs"]) == len(rows) == 8
    few = [row["frechet_distance"] for row in rows if row["per_class"] == 4]
    (line,) = [x for x in summary["lines"] if x["per_class"] == 4]
    assert line["method"] == "s3gan" and line["labels"] == 12 and line["seeds"] == 2
    score = line["scores"]["frechet_distance"]
    assert sorted(score["values"]) == sorted(few) and score["mean"] == pytest.approx(np.mean(few))
    assert (score["lowest"], score["highest"]) == (min(few), max(few))
    assert line["label_sets"] == 2  # one for each seed
    every = [row["frechet_distance"] for row in rows if row["method"] == "all_labels"]
    assert line["ratios"]["all_labels"]["ratio"] == pytest.approx(np.mean(few) / np.mean(every))
    assert line["images"] == 60
    runs = [path.parent for path in finished.folder.rglob("result.json")]
    assert all((folder / "neighbours" / "sheet.png").exists() for folder in runs)
    assert [x["labels"] for x in summary["lines"]] == [60, 6, 12, 0]
    assert [(x["kept"], x["folder"]) for x in summary["labels"]] == [
        (6, "seed-0/fraction-0.1"),
        (6, "seed-1/fraction-0.1"),
        (12, "seed-0/per-class-4"),
        (12, "seed-1/per-class-4"),
    ]
    assert [row["folder"] for row in summary["shown"]["runs"]] == [
        "seed-0/all_labels",
        "seed-0/per-class-4/s3gan",
        "seed-0/clustering",
    ]
    assert [x["folder"] for x in summary["clusters"]] == ["seed-0/clusters", "seed-1/clusters"]
    assert summary["shown"]["features"] == "seed-0" and summary["shown"]["labels"] == "seed-0/per-class-4"
    head, *lines = (finished.folder / "results.csv").read_text().splitlines()
    assert head.split(",")[:4] == ["method", "fraction", "per_class", "seed"] and len(lines) == 8
    text = results.results_table(summary)
    assert f"{np.mean(few):.3f}" in text and "12 of 60 training labels are used" in text
    assert [x["hidden_labels"] for x in summary["labels"]] == [54, 54, 48, 48]


def test_real_images_are_measured_once(finished, monkeypatch):
    summary = results.summarise(finished)
    features = [
        finished.extractor(split.images).features for split in (finished.dataset.train, finished.dataset.test)
    ]
    (mean, cov), (other, other_cov) = ((f.mean(0), np.cov(f.T)) for f in features)
    distance = np.sum((mean - other) ** 2) + np.trace(
        cov + other_cov - 2 * linalg.sqrtm(cov @ other_cov).real
    )
    assert summary["real"]["frechet_distance"] == pytest.approx(distance, rel=1e-4)
    monkeypatch.setattr(results, "real_scores", None)
    assert results.summarise(finished)["real"] == summary["real"]


def test_scores_do_not_depend_on_the_rest_of_the_study(finished, tmp_path):
    alone = small.small_study(tmp_path, "s3gan", seeds=(1,), budgets=(PerClass(4),))
    assert run.run_study(alone) == []
    row = json.loads((tmp_path / "s3gan" / "result.json").read_text())
    other = json.loads((finished.folder / "seed-1" / "per-class-4" / "s3gan" / "result.json").read_text())
    assert row | {"seconds": 0} == other | {"seconds": 0}


def test_a_failed_task_fails_only_its_dependents(tmp_path, monkeypatch, capsys):
    def run_task(study, task):
        if task.kind == "labels" and task.seed == 0 and task.budget == 0.1:
            raise UserError("no luck")
        if task.kind == "gan" and task.method.name == "clustering" and task.seed == 1:
            raise FloatingPointError("NaN in the loss\nsecond line")
        return {}

    monkeypatch.setattr(run, "run_task", run_task)
    failed = {outcome.task.name: outcome.error for outcome in run.run_study(wide_study(tmp_path))}
    assert failed == {
        "labels, 10% of the labels, seed 0": "no luck",
        "s3gan, 10% of the labels, seed 0": "skipped: a task that it depends on failed",
        "clustering, seed 1": "FloatingPointError: NaN in the loss",
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("[16/16]") and any("failed (no luck)" in line for line in lines)


def test_failed_features_do_not_fail_independent_tasks(tmp_path, monkeypatch):
    def run_task(study, task):
        if task.kind == "features" and task.seed == 1:
            raise UserError("no luck")
        return {}

    monkeypatch.setattr(run, "run_task", run_task)
    failed = [outcome.task for outcome in run.run_study(wide_study(tmp_path))]
    assert all(task.seed == 1 for task in failed)
    assert {task.method.name for task in failed if task.method} == {"s3gan", "clustering"}


def test_invalid_studies_are_refused_before_any_work(tmp_path):
    with pytest.raises(UserError, match="label fraction 2"):
        small.small_study(tmp_path, "s3gan", budgets=(2.0,))
    with pytest.raises(UserError, match="0 labels per class are too few"):
        small.small_study(tmp_path, "s3gan_co", budgets=(PerClass(0),))
    features = Features(np.zeros((60, 2)), None, "mine.npy")
    with pytest.raises(UserError, match=r"mine\.npy: s4l trains an encoder"):
        small.small_study(tmp_path, "s3gan", features=features)
    assert not list(tmp_path.iterdir())


def test_user_features_need_no_encoder(tmp_path):
    rng = np.random.default_rng(0)
    true = small.dataset().train.labels
    features = Features(np.eye(3)[true] + 0.1 * rng.normal(size=(60, 3)), None, "mine.npy")
    recipe = dataclasses.replace(small.RECIPE, classifier="linear")
    study = small.small_study(tmp_path, "s3gan", "clustering", features=features, recipe=recipe)
    assert [task.kind for stage in task_stages(study)[:2] for task in stage] == ["clusters", "labels"]
    for task in task_stages(study)[1]:
        run.run_task(study, task)
    assert json.loads((tmp_path / "label_quality.json").read_text())["accuracy"] == 1
    assert not (tmp_path / "pretrained.npz").exists()


def test_label_sets_are_combined_with_seeds(finished):
    """The label files and the runs of a seed on its own label set are those of a study without label sets."""
    study = dataclasses.replace(finished, budgets=(0.1,), label_sets=(1, 4))
    stages = task_stages(study)
    todo = [[task.name for task in stage if not is_done(study, task)] for stage in stages]
    assert todo == [
        ["features, seed 4"],
        ["labels, 10% of the labels, seed 4"],
        [
            "s3gan, 10% of the labels, label set 1, seed 0",
            "s3gan, 10% of the labels, label set 4, seed 0",
            "s3gan, 10% of the labels, label set 4, seed 1",
        ],
    ]
    crossed = next(task for task in stages[2] if task.label_set == 4 and task.seed == 0)
    assert study.task_dir(crossed) == finished.folder / "seed-4" / "fraction-0.1" / "s3gan-seed-0"
    assert {task.name for task in dependencies(study, crossed)} == {"features, seed 4", todo[1][0]}
    own = next(task for task in stages[2] if task.label_set == 1 and task.seed == 1)
    assert study.task_dir(own) == finished.folder / "seed-1" / "fraction-0.1" / "s3gan"


def test_gans_of_a_label_set_share_its_labels(tmp_path):
    study = small.small_study(tmp_path, "s2gan_co", seeds=(0, 1), label_sets=(7, 8), flat=False)
    assert run.run_study(study) == []
    rows = results.run_rows(tmp_path)
    assert [(row["seed"], row["folder"]) for row in rows] == [
        (0, "seed-7/fraction-0.2/s2gan_co-seed-0"),
        (0, "seed-8/fraction-0.2/s2gan_co-seed-0"),
        (1, "seed-7/fraction-0.2/s2gan_co-seed-1"),
        (1, "seed-8/fraction-0.2/s2gan_co-seed-1"),
    ]
    assert [row["label_set"] for row in rows] == [rows[0]["label_set"], rows[1]["label_set"]] * 2
    assert rows[0]["label_set"] != rows[1]["label_set"]
    kept = np.load(tmp_path / "seed-7" / "fraction-0.2" / "labels-kept.npz")["index"]
    np.testing.assert_array_equal(kept, budget.choose(study.dataset.train.labels, 0.2, 7))
    (line,) = results.method_lines(rows)
    assert (line["seeds"], line["label_sets"]) == (4, 2)
    abouts = [json.loads((tmp_path / row["folder"] / "run.json").read_text()) for row in rows]
    assert [about["label_set"] for about in abouts] == [7, 8, 7, 8]
    assert len({about["seed"] for about in abouts}) == 4  # so that label sets are independent repetitions
    again = Task("gan", 0, 0.2, LABEL_METHODS["s2gan_co"], 7)
    assert again.gan_seed == abouts[0]["seed"] and Task("gan", 7, 0.2, again.method, 7).gan_seed == 7


def test_one_label_per_class_is_the_least():
    labels = np.repeat(np.arange(10), 130)
    labels[:5] = -1
    budget.refuse_too_few(labels, 0.008)
    assert len(budget.choose(labels, 0.008, 0)) == 10
    with pytest.raises(UserError, match="label fraction 0.001 is 1 label of 1,295, fewer than one for each"):
        budget.refuse_too_few(labels, 0.001)
    with pytest.raises(UserError, match=r"of the 10 classes; use 0\.007722 or more"):
        budget.refuse_too_few(labels, 0.005)
    whole = np.repeat(np.arange(10), 6000)
    budget.refuse_too_few(whole, 0.001)
    assert len(budget.choose(whole, 0.001, 0)) == 60
    budget.refuse_too_few(labels, PerClass(1))


def test_budget_names():
    assert [budget.describe_budget(b) for b in (0.05, PerClass(5))] == [
        "5% of the labels",
        "5 labels per class",
    ]
    assert [budget.budget_folder_name(b) for b in (0.05, PerClass(5))] == ["fraction-0.05", "per-class-5"]
    assert budget.budget_columns(PerClass(5)) == {"fraction": None, "per_class": 5}
    assert budget.budget_columns(0.05) == {"fraction": 0.05, "per_class": None}
    assert budget.budget_columns(None) == {"fraction": None, "per_class": None}


# The plan


def test_the_plan_counts_remaining_tasks(finished, tmp_path):
    assert plan.outline(finished) == []
    entries = {entry.name: entry for entry in plan.outline(wide_study(tmp_path))}
    assert {what: (len(entry.tasks), entry.steps) for what, entry in entries.items()} == {
        "features": (2, 4),
        "clusters": (2, 0),
        "labels": (4, 4),
        "all_labels": (2, 3),
        "s3gan": (4, 3),
        "clustering": (2, 3),
    }
    assert plan.plan_table(list(entries.values()), 1).splitlines()[-1].split() == ["all", "16", "48"]


def test_the_plan_times_each_program_once(tmp_path, monkeypatch):
    """`all_labels` and `clustering` share a program, since there are as many clusters as classes."""
    trials = []

    def run_task(study, task):
        trials.append(task.name)
        folder = study.task_dir(task)
        folder.mkdir(parents=True, exist_ok=True)
        scored = 2.1 if (folder / "seconds.json").exists() else 2.0  # a twentieth takes 0.1 s if compiled
        (folder / "seconds.json").write_text(json.dumps({"train": 9.0, "evaluate": scored}))
        rows = [{"step": 20, "seconds": 5.0}, {"step": 40, "seconds": 7.0}]  # ten steps per second
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {}

    monkeypatch.setattr(plan, "run_task", run_task)
    monkeypatch.setattr(plan, "MIN_STEPS_TO_TIME", 0)
    monkeypatch.setattr(plan, "MIN_PIXEL_STEPS_TO_TIME", 0)
    steps = dataclasses.replace(small.small_study(tmp_path).schedule, steps=500)
    study = wide_study(tmp_path, schedule=steps)
    entries = {entry.name: entry for entry in plan.estimate_times(study, plan.outline(study))}
    assert [name for name in trials if not name.startswith(("features", "labels"))] == [
        "clusters, seed 0",
        *["all_labels, seed 0"] * 2,  # scored twice
        *["s3gan, 10% of the labels, seed 0"] * 2,
    ]
    assert entries["s3gan"].rate == pytest.approx(10) and entries["s3gan"].seconds == pytest.approx(52)
    assert entries["clustering"].rate == pytest.approx(10) and entries["s3gan"].total == pytest.approx(208)
    assert not list(tmp_path.iterdir())
    assert "with 2 processes" in plan.plan_table(list(entries.values()), 2)


@pytest.mark.parametrize("steps", [20, 10_000])  # images of 4x4: few steps, or no work
def test_a_little_work_is_not_timed(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "run_task", None)
    schedule = dataclasses.replace(small.small_study(tmp_path).schedule, steps=steps)
    study = wide_study(tmp_path, schedule=schedule)
    assert all(entry.seconds is None for entry in plan.estimate_times(study, plan.outline(study)))


# Several processes, with toy tasks. test_study_commands.py runs a real study in several processes.


def double(task):
    if task == "die":
        os._exit(3)
    if task == "fail":
        raise UserError("no luck")
    if task == "sleep":
        time.sleep(60)
    return task * 2


def open_double():
    return double


def test_processes_run_all_tasks():
    pool = execute.ProcessExecutor(2, open_double)
    try:
        outcomes = {o.task: (o.value, o.error) for o in pool.outcomes(["a", "b", "fail", "die", "c"])}
    finally:
        pool.close()
    died = (None, "the worker process died, possibly out of memory")
    assert outcomes == {
        "a": ("aa", None), "b": ("bb", None), "c": ("cc", None), "fail": (None, "no luck"), "die": died,
    }  # fmt: skip


def test_stopping_terminates_the_processes():
    pool = execute.ProcessExecutor(1, open_double)
    threading.Timer(3.0, functools.partial(os.kill, os.getpid(), signal.SIGTERM)).start()
    processes = list(pool.processes.values())
    with pytest.raises(Interrupted, match="stopped; progress is saved"):
        list(pool.outcomes(["sleep"]))
    assert [process.exitcode for process in processes] == [-signal.SIGTERM]


@pytest.mark.slow
def test_tasks_without_a_process_left_are_reported():
    pool = execute.ProcessExecutor(1, open_double)
    outcomes = [(o.task, o.error) for o in pool.outcomes(["die", "a"])]
    pool.close()
    assert outcomes == [
        ("die", "the worker process died, possibly out of memory"), ("a", "all worker processes have died")
    ]  # fmt: skip


def test_task_names_and_folders(tmp_path):
    study = wide_study(tmp_path)
    gan = Task("gan", 0, PerClass(4), LABEL_METHODS["s3gan"])
    assert gan.name == "s3gan, 4 labels per class, seed 0"
    assert study.task_dir(gan) == tmp_path / "seed-0" / "per-class-4" / "s3gan"
    assert not is_done(study, gan)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed():
    """Otherwise they would hold the folders of their tasks, which a restarted study needs."""
    lines = """
import functools, time
from compare_gan.fewlabels.execute import ProcessExecutor
if __name__ == "__main__":
    pool = ProcessExecutor(1, functools.partial(functools.partial, time.sleep))
    print(*[process.pid for process in pool.processes.values()], flush=True)
    list(pool.outcomes([600]))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, "-c", lines], env=environment, stdout=subprocess.PIPE, text=True
    )
    worker = int(parent.stdout.readline())
    time.sleep(4)  # until it has begun its task
    os.kill(worker, 0)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(worker, 0)
            time.sleep(0.05)

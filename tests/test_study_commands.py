"""The commands few-labels and study, on a toy data set with tiny networks."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import compare_gan as cg
from compare_gan import studies
from compare_gan.config.parse import parse
from compare_gan.config.recipes import FOLDER
from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder, write_json
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.lock import claimed
from compare_gan.data import open_dataset
from compare_gan.fewlabels.job_array import as_ranges
from compare_gan.fewlabels.settings import command_line, merge_settings
from compare_gan.main import main, normalize_option, parser
from compare_gan.studies import StudyRequest, settings_of
from tests.helpers.commands import TINY, bindings
from tests.helpers.interruption import check_equal, contents
from tests.helpers.tiers import slow_unless

SMALL = ["--data", "blobs", "--quick", "--steps", "3", "--encoder-width", "4"]
SMALL += [word for line in TINY for word in ("--gin_bindings", line)]


def call(*words):
    return main([str(word) for word in words])


def results(folder):
    return {str(path.parent.relative_to(folder)) for path in folder.rglob("result.json")}


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few") / "run"
    assert call("few-labels", *SMALL, "--method", "s3gan", "--model_dir", folder) == 0
    return folder


@pytest.mark.slow
def test_another_method_uses_the_same_labels(few, capsys):
    before = times(few)
    words = ["few-labels", *SMALL, "--methods", "s2gan", "s3gan", "--model_dir", few, "--verify-no-leak"]
    assert call(*words) == 0
    after = times(few)
    kept = [path for path in before if path.suffix == ".npz" or "s3gan" in path.parts]
    assert len(kept) > 10 and all(before[path] == after[path] for path in kept)
    output = capsys.readouterr().out
    assert "[1/1] s2gan" in output and "pretrain" not in output.split("s2gan", 1)[0]
    assert output.splitlines()[-1].startswith("no leak: all 7 files of the label stages are identical")
    assert results(few) == {"s2gan", "s3gan"}
    settings = json.loads((few / "settings.json").read_text())
    assert settings["methods"] == ["s3gan", "s2gan"]
    page = (few / "report.html").read_text()
    assert "S2GAN" in page and "S3GAN" in page and "least certain" in page


def test_the_command_in_the_settings_reproduces_the_run(few):
    command = json.loads((few / "settings.json").read_text())["command"]
    arguments = parser().parse_args([normalize_option(word) for word in command[1:]])
    assert command[:2] == ["compare-gan", "few-labels"]
    assert (arguments.data, arguments.steps, arguments.quick, arguments.seed) == (["blobs"], 3, True, 0)
    assert (arguments.gin_config, arguments.label_recipe) == ("small.gin", "digits")
    assert arguments.gin_bindings == TINY and arguments.encoder_width == 4 and arguments.label_fraction == 0.1


def test_choices_of_a_folder_are_kept(few, capsys):
    """Of any version, as long as the given options agree: here all that can be left out is."""
    before = times(few)
    words = [*SMALL, "--method", "s3gan", "--model_dir", few]
    del words[words.index("--steps") : words.index("--steps") + 2]
    assert call("few-labels", *words) == 0
    output = capsys.readouterr().out
    assert "all done already" in output and "digits (--label_recipe), 3 steps per GAN (--steps)" in output
    assert before == times(few) and not list(few.parent.glob("run-*"))


def test_a_folder_of_version_0_1_is_resumed(few, tmp_path, capsys):
    """It has no choices that were not written then: the extractor, and a digest of the configuration."""
    shutil.copytree(few, tmp_path / "run")
    settings = json.loads((few / "settings.json").read_text())
    assert (settings["gin_config"], settings["label_recipe"]) == ("small.gin", "digits")
    old = settings | {"compare_gan": "0.1.0", "extractor": None, "files": {"gin_config": "0" * 64}}
    (tmp_path / "run" / "settings.json").write_text(json.dumps(old))
    assert call("few-labels", *SMALL, "--method", "s3gan", "--model_dir", tmp_path / "run") == 0
    assert "all done already" in capsys.readouterr().out


@pytest.mark.parametrize("newer", ["s3gan/result.json", "label_quality.json", "seconds.json"])
def test_a_report_older_than_a_result_is_written_again(few, tmp_path, capsys, newer):
    """A process was killed after it had finished the last task, before it wrote the summary."""
    folder = tmp_path / "run"
    shutil.copytree(few, folder)
    words = ["few-labels", *SMALL, "--method", "s3gan", "--model_dir", folder]
    assert call(*words) == 0 and "all done already" in capsys.readouterr().out
    expected = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "report.html").write_text("of fewer tasks")
    (folder / newer).touch()
    assert call(*words) == 0 and "all done already" not in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == expected


def test_a_stage_without_a_duration_is_not_finished(few, tmp_path, capsys):
    """A process was killed after it had written features.npz, before seconds.json."""
    folder = tmp_path / "run"
    shutil.copytree(few, folder)
    expected = list(json.loads((folder / "seconds.json").read_text()))
    (folder / "seconds.json").unlink()
    assert call("few-labels", *SMALL, "--method", "s3gan", "--model_dir", folder) == 0
    assert "[2/2] labels" in capsys.readouterr().out
    assert list(json.loads((folder / "seconds.json").read_text())) == expected


def test_a_study_folder_belongs_to_one_process_at_a_time(few, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(few, folder)
    (folder / "report.html").unlink()
    with claimed(folder):
        assert call("few-labels", *SMALL, "--method", "s3gan", "--model_dir", folder) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"compare-gan: {folder}: in use by process {os.getpid()} on ")
    assert message.count("\n") == 1


def test_another_choice_gets_another_folder(few, capsys):
    words = [*SMALL, "--method", "s3gan", "--model_dir", few, "--label_recipe", "digits", "--plan"]
    assert call("few-labels", *words, "--gin_bindings", "options.z_dim = 9") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{few} contains runs with different settings (gin_bindings changed)")
    assert lines[2].startswith(
        "chosen for colour images of 8x8 on a CPU: networks small.gin (--gin_config), sco"
    )


def test_a_leak_sets_the_exit_code(few, monkeypatch, capsys):
    from compare_gan.fewlabels import leak

    monkeypatch.setattr(
        leak, "verify", lambda study, gans: leak.Verdict(differing=(Path("labels-train.npz"),))
    )
    assert call("few-labels", *SMALL, "--method", "s3gan", "--model_dir", few, "--verify_no_leak") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "LEAK: labels-train.npz depends on hidden labels"


def study_words(folder, *more):
    shared = ["--methods", "no_labels", "s3gan", "--labels-per-class", "2", "5", "--seeds", "0"]
    return ["study", *SMALL, *shared, "--model_dir", folder, *more]


@pytest.fixture(scope="module", params=slow_unless(lambda workers: workers == 1, (1, 2)))
def study(request, tmp_path_factory):
    """The folder and the output of a study, run by one process or by two."""
    folder, output = tmp_path_factory.mktemp("study") / "runs", io.StringIO()
    with contextlib.redirect_stdout(output):
        assert call(*study_words(folder, "--workers", request.param)) == 0
    return folder, output.getvalue()


def test_a_study_writes_results_tables_and_a_report(study):
    folder, output = study
    runs = ("no_labels", "per-class-2/s3gan", "per-class-5/s3gan")
    assert results(folder) == {f"seed-0/{run}" for run in runs}
    lines = output.splitlines()
    assert lines[0].startswith("data: 256 training images, 256 with a label in 4 classes (64 per class)")
    assert lines[1] == (
        "chosen for colour images of 8x8 on a CPU: networks small.gin (--gin_config), label recipe digits "
        "(--label_recipe), scores by the pre-trained encoder (--extractor)"
    )
    assert lines[2:4] == [
        "labels: 8 of 256 are used (2 labels per class) to infer one for each of the 256 training images",
        "labels: 20 of 256 are used (5 labels per class) to infer one for each of the 256 training images",
    ]
    assert lines[4].split() == ["runs", "steps", "steps/s", "time"]  # the plan is printed first
    assert any(line.split()[:2] == ["all", "6"] for line in lines)
    assert lines[-1] == f"report: {folder / 'report.html'}"
    rows = (folder / "results.csv").read_text().splitlines()
    assert len(rows) == 4
    page = (folder / "report.html").read_text()
    assert "Distance against number of labels" in page and "2 or 5 labels per class" in page


def test_a_finished_study_is_not_run_again(study, capsys):
    folder, first = study
    before = times(folder)
    assert call(*study_words(folder)) == 0
    output = capsys.readouterr().out
    assert "all done already" in output and before == times(folder)
    lines = output.splitlines()
    assert lines[1].startswith(f"as in {folder}: networks small.gin")
    assert lines[5:] == first.splitlines()[-len(lines) + 5 :]  # the results, after the plan


def test_an_array_of_jobs_numbers_the_tasks(tmp_path, capsys):
    folder = tmp_path / "runs"
    assert call(*study_words(folder, "--task", "1")) == 2
    assert f"{folder}: is not set up for these tasks; give --array" in capsys.readouterr().err
    assert call(*study_words(folder, "--array")) == 0
    lines = capsys.readouterr().out.splitlines()[4:]
    assert lines == [
        "number  stage     task",
        "1       features  features, seed 0",
        "2       labels    labels, 2 labels per class, seed 0",
        "3       labels    labels, 5 labels per class, seed 0",
        "4       GANs      no_labels, seed 0",
        "5       GANs      s3gan, 2 labels per class, seed 0",
        "6       GANs      s3gan, 5 labels per class, seed 0",
        "features: --array=1",
        "labels: --array=2-3",
        "GANs: --array=4-6",
    ]
    needs = "--task 6: s3gan, 5 labels per class, seed 0 needs --task 1, features, seed 0, which is not done"
    assert call(*study_words(folder, "--task", "6")) == 2 and needs in capsys.readouterr().err
    assert call(*study_words(folder, "--task", "7")) == 2
    assert "--task 7: the tasks have the numbers 1 to 6; see --array" in capsys.readouterr().err


@pytest.mark.slow
def test_an_array_of_jobs_gives_the_files_of_one_process(study, tmp_path, capsys):
    """Tasks one by one, in the order of their numbers, then the command that writes the results."""
    expected, folder = study[0], tmp_path / "runs"
    assert call(*study_words(folder, "--array")) == 0
    for number in range(1, 7):
        if number == 4:
            with claimed(run_folder(folder / "seed-0" / "no_labels"), "gan-in-use"):
                assert call(*study_words(folder, "--task", "4")) == 2
            assert "--task 4: " in (message := capsys.readouterr().err) and "in use by process" in message
        assert call(*study_words(folder, "--task", number)) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("s3gan, 5 labels per class, seed 0: distance ")
    before = times(folder)
    assert call(*study_words(folder, "--task", "2")) == 0 and call(*study_words(folder, "--array")) == 0
    after = times(folder)
    assert {path.name for path in before if before[path] != after[path]} <= {
        "settings.json", "real", "real.png", "grid.json", "runs", "in-use", "seed-0", "per-class-2",
    }  # fmt: skip
    assert capsys.readouterr().out.splitlines()[-1] == f"{folder}: all done already"
    assert call(*study_words(folder)) == 0
    check_equal(contents(folder), contents(expected))


def test_ranges_of_an_array():
    assert as_ranges([]) == "" and as_ranges([4]) == "4" and as_ranges([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10"


def test_the_study_of_the_command_is_that_of_the_function(study):
    folder, output = study
    before, said = times(folder), list[str]()
    data = cg.open_dataset("blobs")
    options = {"inference": {"width": 4}, "gin_bindings": TINY, "quick": True, "say": said.append}
    result = studies.study(data, ["no_labels", "s3gan"], per_class=[2, 5], steps=3, folder=folder, **options)
    assert result.folder == folder and not result.failed and before == times(folder)
    assert f"{folder}: all done already" in said and said[-1] == f"report: {result.report}"
    assert result.table() in output and result.report.exists()
    assert {row["folder"] for row in result.summary["runs"]} == results(folder)


def test_a_study_of_images_in_memory(tmp_path):
    """Its folder names no source, so only a call with the images opens it again."""
    data = cg.open_dataset("blobs")
    relabelled = data.with_labels(data.train.labels[::-1].copy())
    request = StudyRequest(relabelled, ("s3gan",), fractions=(0.1,), quick=True)
    prepared = studies.prepare(request, tmp_path / "run")
    assert prepared.reopen().dataset is relabelled
    settings = prepared.study.settings
    assert settings["data"] is None and command_line("study", settings) is None
    with pytest.raises(UserError, match="made in memory"):
        studies.open_study(settings, tmp_path, False)
    same = studies.prepare(dataclasses.replace(request, data=data), tmp_path / "run").study.settings
    assert same["data"] == "blobs" and same["data_sha256"] != settings["data_sha256"]


@pytest.mark.slow
def test_few_labels_on_a_folder_of_photographs_of_mixed_sizes(tmp_path, capsys):
    """With tiny networks, and no choice made: bright and dark photographs, two classes."""
    rng = np.random.default_rng(0)
    for i in range(40):
        size = rng.integers(33, 60, 2)
        path = tmp_path / "data" / ("bright" if i % 2 else "dark") / f"{i}.{'png' if i % 4 < 2 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (*size, 3), np.uint8) + np.uint8(127 * (i % 2))
        Image.fromarray(pixels).save(path)
    run = tmp_path / "run"
    words = ["few-labels", "--quick", "--data", tmp_path / "data", "--model_dir", run, *bindings()]
    words += ["--encoder_width", "4"]
    assert call(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("chosen for colour images of 32x32 on a CPU: images of several sizes (median ")
    assert "networks small32.gin (--gin_config), label recipe photos (--label_recipe)" in lines[1]
    settings = json.loads((run / "settings.json").read_text())
    chosen = ("gin_config", "label_recipe", "steps", "extractor")
    assert [settings[name] for name in chosen] == ["small32.gin", "photos", 40, None]
    assert settings["reading"]["image_size"] == 32 and (run / "report.html").exists()
    assert json.loads((run / "s3gan" / "run.json").read_text())["image_shape"] == [32, 32, 3]
    before = times(run)
    assert call(*words) == 0
    assert "all done already" in capsys.readouterr().out and before == times(run)


def test_a_configuration_needs_no_data_set_name(tmp_path, capsys):
    text = re.sub("dataset.name.*", "", (FOLDER / "small.gin").read_text())
    (tmp_path / "mine.gin").write_text(text)
    words = ["few-labels", *SMALL, "--gin_config", tmp_path / "mine.gin", "--plan", "--model_dir"]
    assert call(*words, tmp_path / "run") == 0
    assert "networks" not in capsys.readouterr().out  # the user chose them


def test_a_changed_configuration_file_is_another_study(tmp_path):
    (tmp_path / "mine.gin").write_text((FOLDER / "small.gin").read_text())
    request = StudyRequest("digits", ("s3gan",), quick=True, gin_config=str(tmp_path / "mine.gin"))
    prepared = studies.prepare(request, tmp_path / "run", flat=True)
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "settings.json", prepared.study.settings)
    again = studies.prepare(request, tmp_path / "run", flat=True)
    assert again.study.folder == tmp_path / "run"
    (tmp_path / "mine.gin").write_text((FOLDER / "small.gin").read_text() + "options.z_dim = 9\n")
    other = studies.prepare(request, tmp_path / "run", flat=True)
    assert other.study.folder != tmp_path / "run"
    assert "different settings (the content of --gin_config changed)" in other.lines[0]


def test_a_plan_runs_nothing(study, tmp_path, capsys, monkeypatch):
    parsed = []
    monkeypatch.setattr(studies, "parse", lambda *files: parsed.append(files) or parse(*files))
    assert call(*study_words(tmp_path / "new", "--plan")) == 0
    assert len(parsed) == 2  # each configuration is parsed once
    assert not (tmp_path / "new").exists() and "features" in capsys.readouterr().out
    assert call(*study_words(study[0], "--plan")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{study[0]}: all done already"


@pytest.mark.slow
def test_a_failed_run_is_reported_and_does_not_stop_others(tmp_path, capsys, monkeypatch):
    import compare_gan.fewlabels.run as run

    original = run.run_task

    def run_task(study, task):
        if task.method is LABEL_METHODS["s3gan"] and task.seed == 1:
            raise RuntimeError("out of luck")
        return original(study, task)

    monkeypatch.setattr(run, "run_task", run_task)
    words = ["--methods", "no_labels", "s3gan", "--fractions", "0.1", "--seeds", "0", "1"]
    assert call("study", *SMALL, *words, "--model_dir", tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "failed: s3gan, 10% of the labels, seed 1: RuntimeError: out of luck" in lines
    assert results(tmp_path) == {"seed-0/no_labels", "seed-1/no_labels", "seed-0/fraction-0.1/s3gan"}
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_an_interrupted_study_resumes(tmp_path, capsys):
    """After Ctrl-C during GAN training, the run resumes from its last checkpoint."""
    words = ["study", *SMALL, "--methods", "no_labels", "--seeds", "0", "--model_dir", tmp_path]
    words[words.index("--steps") + 1] = "1000"
    saved = tmp_path / "seed-0" / "no_labels" / "checkpoints" / "200" / "sha256.json"

    def interrupt():
        while not saved.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert call(*words) == 130 and "rerun the same command to resume" in capsys.readouterr().out
    assert results(tmp_path) == set()
    assert call(*words) == 0 and "no_labels: resuming from step" in capsys.readouterr().out
    assert results(tmp_path) == {"seed-0/no_labels"}


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--methods", "s3gn"], "unknown method 's3gn'; did you mean 's3gan'"),
        (["--label-fraction", "0"], "label fraction 0.0 is not in (0, 1]"),
        (["--label-fraction", "0.001"], "label fraction 0.001 is 0 labels of"),
        (["--labels-per-class", "0"], "0 labels per class are too few"),
        (["--labels-per-class", "1", "--label-fraction", "0.1"], "not allowed with argument"),
        (["--label-recipe", "photo"], "did you mean 'photos'"),
        (
            ["--label-recipe", "photos"],
            "label recipe photos is for images of 16 to 64 pixels a side, and these",
        ),
        (
            ["--image-size", "128", "--label-recipe", "digits"],
            "digits is for images of 1 to 32 pixels a side",
        ),
        (["--image-size", "100"], "small128.gin: resnet_small_arch cannot make 100x100 images"),
        (["--gin-config", "small.gin", "--image-size", "9"], "small.gin: resnet_small_arch cannot make 9x9"),
        (["--extractor", "digits"], "the extractor digits expects images of 8x8x1, got 8x8x3"),
        (["--encoder", "smal"], "did you mean 'small'"),
        (["--classifier", "svm"], "invalid choice: 'svm'"),
        (["--confidence", "7"], "confidence is 7"),
        (["--features", "none.npy"], "none.npy: cannot be read"),
        (["--label-file", "none.npz"], "none.npz: cannot be read"),
        (["--gin-config", "none.gin"], "none.gin: no such file, and not one of the configurations that"),
        (["--extractor", "diggits"], "did you mean 'digits'"),
    ],
)
def test_invalid_options_are_refused(words, expected, tmp_path, capsys):
    try:
        code = call("few-labels", *SMALL, "--model_dir", tmp_path / "run", *words)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and expected in captured.err and captured.err.count("\n") == 1, captured.err
    assert not (tmp_path / "run").exists()


def test_features_of_another_number_of_images_are_refused(tmp_path, capsys):
    np.save(tmp_path / "f.npy", np.zeros((3, 2), np.float32))
    words = ["few-labels", *SMALL, "--model_dir", tmp_path / "run", "--features", tmp_path / "f.npy"]
    assert call(*words) == 2 and "3 rows for 256 images" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["few-labels", "study", "classifier", "train"])
def test_every_data_option_adds_sources(command):
    words = [command, "--data", "a", "b", "--data", "c", "--model_dir", "x"]
    words[-2] = "--out" if command == "classifier" else "--model_dir"
    assert parser().parse_args(words).data == ["a", "b", "c"]


def test_settings_of_a_growing_folder():
    request = StudyRequest("blobs", methods=tuple(LABEL_METHODS), fractions=(0.1,), steps=3)
    one = settings_of(request, open_dataset("blobs"))
    two = one | {"seeds": [1], "fractions": [], "per_class": [3], "methods": ["s3gan"]}
    both = merge_settings(one, two)
    assert (both["seeds"], both["fractions"], both["per_class"]) == ([0, 1], [0.1], [3])
    assert both["methods"] == list(LABEL_METHODS)


def test_label_sets_are_part_of_the_command_that_repeats_a_study():
    request = StudyRequest("blobs", ("s3gan",), fractions=(0.1,), seeds=(0, 1), label_sets=(4, 5), steps=3)
    settings = settings_of(request, open_dataset("blobs"))
    words = command_line("study", settings)
    arguments = parser().parse_args(words[1:])
    assert (arguments.seeds, arguments.label_sets) == ([0, 1], [4, 5])
    before = {name: value for name, value in settings.items() if name != "label_sets"}  # an older version
    assert merge_settings(before, settings)["label_sets"] == [0, 1, 4, 5]  # it had one for each seed
    again = merge_settings(settings, settings | {"label_sets": [5, 6]})
    assert again["label_sets"] == [4, 5, 6]

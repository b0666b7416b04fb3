"""The command line: every user error is one line and exit code 2, before any work."""

import contextlib
import io
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from compare_gan.config.recipes import FOLDER
from compare_gan.fewlabels.settings import study_folder
from compare_gan.main import main, normalize_option
from tests.helpers.commands import bindings, config, refused
from tests.helpers.tiers import slow_unless

ROOT = Path(__file__).parents[1]


def start(*words, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "compare_gan.main", *map(str, words)]
    return subprocess.Popen(
        command, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True, **options
    )


def png(path, size=(8, 8), color=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, color).save(path)


def broken_image(folder):
    png(folder / "a" / "1.png")
    png(folder / "b" / "1.png")
    (folder / "b" / "2.png").write_bytes(b"not an image")
    return folder, "2.png"


def two_image_columns(folder):
    path = folder / "x.parquet"
    images = [{"bytes": b"", "path": ""}]
    pq.write_table(pa.table({"before": images, "after": images}), path)
    return path, "choose one with --image_column"


def wrong_size(folder):
    path = folder / "x.npz"
    np.savez(path, images=np.zeros((40, 9, 9), np.uint8), labels=np.arange(40) % 2)
    return path, "cannot make 9x9 images", "--image_size", "9"


def nothing_there(folder):
    return folder / "none", "no such file or folder"


def unknown_name(folder):
    return "digit", "did you mean 'digits'?"


DATA = [broken_image, two_image_columns, wrong_size, nothing_there, unknown_name]


@pytest.mark.parametrize("make", DATA)
def test_unusable_data_is_refused(make, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    source, expected, *words = make(tmp_path / "data")
    refused(capsys, ["few-labels", "--data", source, "--model_dir", tmp_path / "run", *words], expected)
    assert not (tmp_path / "run").exists()


def test_images_of_two_sizes_are_not_trained_on_as_stored(tmp_path, capsys):
    png(tmp_path / "data" / "a" / "1.png")
    png(tmp_path / "data" / "b" / "1.png", (9, 8))
    words = ["train", *config(), "--data", tmp_path / "data", "--model_dir", tmp_path / "run"]
    refused(capsys, words, "image_size")


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--label-fraction", "0"], "label fraction 0.0 is not in (0, 1]"),
        (["--label_fraction=2"], "label fraction 2.0 is not in (0, 1]"),
        (["--label-fraction", "much"], "invalid float value"),
        (["--steps", "-3"], "steps is -3"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_invalid_numbers_are_refused(words, expected, tmp_path, capsys):
    refused(capsys, ["demo", "--model_dir", tmp_path / "run", *words], expected)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "line, expected",
    [
        ("optoins.batch_size = 8", "did you mean 'options'"),
        ("options.btch_size = 8", "did you mean 'batch_size'"),
        ("loss.fn = @hing", "did you mean 'hinge'"),
        ("options.architecture = 'resnet_smal_arch'", "did you mean 'resnet_small_arch'"),
        ("options.batch_size = ", "options.batch_size"),
        ("resnet_small.Discriminator.project_y = True", "ModularGAN.conditional"),
    ],
)
def test_mistakes_in_a_configuration_are_refused(line, expected, tmp_path, capsys):
    words = ["train", "--model_dir", tmp_path / "run", *config(), "--gin_bindings", line]
    refused(capsys, words, expected)
    assert not (tmp_path / "run").exists()


def test_a_missing_configuration_file_is_refused(tmp_path, capsys):
    refused(capsys, ["train", "--model_dir", tmp_path / "run", "--gin_config", tmp_path / "x.gin"], "x.gin")


def test_an_unprepared_tfds_data_set_is_refused(tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorflow_datasets", reason="the extra compare_gan[tfds] is not installed")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    words = [
        "train",
        "--model_dir",
        tmp_path / "run",
        *config(),
        "--gin_bindings",
        "dataset.name = 'cifar10'",
    ]
    refused(capsys, words, "cifar10: not prepared in", "run: compare-gan prepare cifar10")
    misspelt = ["--data_fake_dataset", "--gin_bindings", "dataset.name = 'cifr10'"]
    refused(capsys, [*words, *misspelt], "did you mean 'cifar10'")


def test_training_needs_data_on_the_command_line_or_in_the_configuration(tmp_path, capsys):
    (tmp_path / "mine.gin").write_text(re.sub("dataset.name.*", "", (FOLDER / "small.gin").read_text()))
    words = ["train", "--model_dir", tmp_path / "run", "--gin_config", tmp_path / "mine.gin"]
    words += ["--gin_config", "no_labels.gin"]
    refused(capsys, words, "no data set; set --data or dataset.name")
    refused(capsys, [*words, "--data_fake_dataset"], "no data set; set dataset.name")


def test_a_missing_label_file_is_refused(tmp_path, capsys):
    words = ["train", "--model_dir", tmp_path / "run", *config()]
    words += ["--gin_bindings", f"replace_labels.file_pattern = '{tmp_path / 'no.npz'}'"]
    refused(capsys, words, "no.npz: cannot be read")
    refused(capsys, [*words, "--labels", tmp_path / "other.npz"], "other.npz: cannot be read")


def test_a_configuration_runs_on_fake_data(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr("compare_gan.runs.train_gan", lambda gan, split, **_: trained.append((gan, split)))
    words = ["train", "--model_dir", tmp_path / "run", *config("conditional"), "--data_fake_dataset"]
    words += bindings("dataset.name = 'cifar10'")
    assert main([str(word) for word in words]) == 0
    ((gan, split),) = trained
    assert gan.spec.image_shape == split.images.shape[1:] == (32, 32, 3) and gan.spec.num_classes == 10
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["data"] == "fake:cifar10" and about["image_shape"] == [32, 32, 3]


def test_an_unwritable_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    refused(capsys, ["demo", "--quick", "--model_dir", tmp_path / "file" / "run"], "it or a parent is a file")
    assert (tmp_path / "file").read_text() == ""


def test_commands_refuse_folders_without_runs(tmp_path, capsys):
    refused(capsys, ["evaluate", tmp_path], "not a run folder")
    refused(capsys, ["sample", tmp_path, "--out", tmp_path / "x.png"], "not a run folder")
    refused(capsys, ["report", tmp_path], "no summary.json")
    refused(capsys, ["unheard-of"], "invalid choice")
    refused(capsys, ["demo", "--sed", "1"], "--sed")


def test_options_are_spelled_with_hyphens_or_underscores():
    assert normalize_option("--label-fraction=0.1-x") == "--label_fraction=0.1-x"
    assert normalize_option("few-labels") == "few-labels"


def test_changed_settings_get_a_folder_of_their_own(tmp_path):
    base = tmp_path / "demo"
    assert study_folder(base, {"seed": 0}) == (base, None)
    base.mkdir()
    (base / "settings.json").write_text(json.dumps({"seed": 0, "compare_gan": "0.0.1"}))
    assert study_folder(base, {"seed": 0, "compare_gan": "0.0.2"}) == (base, None)
    other, note = study_folder(base, {"seed": 1})
    assert other.parent == tmp_path and other.name.startswith("demo-")
    assert note == f"{base} contains runs with different settings (seed changed); writing to {other}"
    assert study_folder(base, {"seed": 2})[0] != other == study_folder(base, {"seed": 1})[0]


def test_the_demo_chooses_only_what_the_user_leaves_open(monkeypatch, tmp_path):
    requests = []
    monkeypatch.setattr(
        "compare_gan.commands.demo.carry_out", lambda request, *_, **__: requests.append(request)
    )
    for words in ([], ["--steps", "7", "--label_recipe", "paper", "--gin_config", "mine.gin"]):
        main(["demo", "--pretrain_steps", "9", "--gin_bindings", "options.z_dim = 8", *words])
    ours, theirs = requests
    assert ours.data == "fashion" and {"all_labels", "s3gan", "ssgan", "no_labels"} == set(ours.methods)
    assert (ours.label_recipe, ours.inference) == ("fashion", {"pretrain_steps": 9})
    assert ours.gin_bindings[-1] == "options.z_dim = 8" and f"decay_steps = {ours.steps}" in str(
        ours.gin_bindings
    )
    assert (theirs.steps, theirs.label_recipe, theirs.gin_config) == (7, "paper", "mine.gin")
    assert theirs.inference == {"pretrain_steps": 9} and theirs.gin_bindings == ("options.z_dim = 8",)


FEW_STEPS = ["demo", "--quick", "--steps", "8"]
NARROW = ["--encoder_width", "4", "--pretrain_steps", "4", "--classify_steps", "4"]


def in_this_process(folder):
    """A demo of tiny networks."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main([*FEW_STEPS, *NARROW, *bindings(), "--model_dir", str(folder)]) == 0
    return output.getvalue()


def as_typed(folder):
    process = start(*FEW_STEPS, "--model_dir", folder)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


@pytest.fixture(
    scope="module", params=slow_unless(lambda run: run is in_this_process, [in_this_process, as_typed])
)
def demo(request, tmp_path_factory):
    """A function that runs the demo, its folder, and its output."""
    folder = tmp_path_factory.mktemp("demo") / "runs" / "demo"
    return request.param, folder, request.param(folder)


def test_the_demo_writes_its_results(demo):
    _, folder, output = demo
    summary = json.loads((folder / "summary.json").read_text())
    assert [row["method"] for row in summary["runs"]] == ["all_labels", "s3gan", "no_labels"]
    for row in summary["runs"]:
        name = row["method"]
        assert row["steps"] == 8 and row["frechet_distance"] > 0
        assert (row["class_agreement"] is None) == (name == "no_labels")
        assert (folder / name / "TRAIN_DONE").exists() and (folder / name / "scores.csv").exists()
        assert list((folder / name / "samples").glob("*.png"))
    ((labels,), (few,)) = summary["labels"], [row for row in summary["runs"] if row["fraction"] is not None]
    assert labels["kept"] == few["labels"] == 136 and 0 < labels["accuracy"] <= 1
    assert {"features", "labels", "train", "evaluate"} <= summary["seconds"].keys()
    assert str(folder / "report.html") in output.splitlines()[-1]
    assert "Fréchet distance" in output
    page = (folder / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "base64" in page


def test_a_finished_demo_is_not_repeated(demo):
    run, folder, first = demo
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    output = run(folder)
    assert "all done already" in output
    assert output.splitlines()[-1] == first.splitlines()[-1]
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_run_can_be_scored_and_sampled_again(demo, capsys):
    _, folder, _ = demo
    scores = (folder / "s3gan" / "scores.csv").read_text()
    again = ["--images", "500", "--num_eval_averaging_runs", "1"]
    assert main(["evaluate", str(folder / "s3gan"), *again]) == 0
    assert (folder / "s3gan" / "scores.csv").read_text() == scores  # the same settings, the same row
    assert main(["sample", str(folder / "s3gan"), "--out", str(folder / "x.png"), "--columns", "4"]) == 0
    with Image.open(folder / "x.png") as picture:
        assert picture.size == (4 * 8, 10 * 8)


def test_the_package_runs_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["compare_gan", "--version"])
    monkeypatch.setattr("compare_gan.main.run", lambda: main(["--version"]))
    with pytest.raises(SystemExit):
        runpy.run_module("compare_gan", run_name="__main__")
    assert capsys.readouterr().out.startswith("compare-gan ")


def test_unraisable_errors_are_printed_except_a_closed_event_loop():
    lines = """
import sys
from compare_gan.core.follow_up import unraisable
class Gone:
    def __init__(self, why): self.why = why
    def __del__(self): raise RuntimeError(self.why)
sys.unraisablehook = unraisable
Gone("Event loop is closed")
Gone("something else")
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, text=True)
    assert "something else" in done.stderr and "Event loop" not in done.stderr

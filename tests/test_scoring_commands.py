"""Scoring commands: during training, afterwards, on features, and the comparison of runs."""

import dataclasses
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from compare_gan.data import open_dataset
from compare_gan.evaluation.scores import read_scores, write_scores
from compare_gan.features import dinov2
from compare_gan.features.vit_names import DINOV2
from compare_gan.main import main
from tests.features.pretrained_case import SMALL, random_weights, stored
from tests.helpers.commands import bindings, config


def run_command(capsys, code, *words):
    assert main([str(word) for word in words]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """Four steps on noise, scored every two with a random network."""
    folder = tmp_path_factory.mktemp("scoring") / "run"
    words = ["train", *config(), "--model_dir", folder, "--data", "blobs", "--extractor", "random"]
    words += bindings("options.training_steps = 4", "run_config.save_checkpoints_steps = 100")
    words += ["--eval_every_steps", "2", "--images", "20", "--num_eval_averaging_runs", "1"]
    words += ["--metrics", "frechet_distance", "kid_score"]
    assert main([str(word) for word in words]) == 0
    return folder


def test_training_scores_and_keeps_the_best(run_dir):
    rows = read_scores(run_dir)
    assert [row["step"] for row in rows] == ["2", "4"]
    best = json.loads((run_dir / "checkpoints" / "best.json").read_text())
    scores = {int(row["step"]): float(row["frechet_distance"]) for row in rows}
    assert best == {"step": min(scores, key=scores.get), "score": min(scores.values())}
    assert (run_dir / "checkpoints" / str(best["step"])).is_dir()


def test_evaluate_adds_scores_and_does_not_repeat_them(run_dir, capsys):
    words = ["evaluate", run_dir, "--extractor", "random", "--images", 20, "--metrics", "prdc"]
    words += ["--num-eval-averaging-runs", 1]
    assert "coverage:" in run_command(capsys, 0, *words)
    assert "coverage:" not in run_command(capsys, 0, *words)
    rows = read_scores(run_dir)
    assert len(rows) == 2 and rows[1]["coverage"] and rows[1]["kid_score"] and not rows[0]["coverage"]


def test_a_network_with_public_weights_scores_a_run(run_dir, tmp_path, capsys, monkeypatch):
    """A small version of it, in a file with the public names."""
    architecture, side, _ = SMALL["dinov2"]
    preprocessing = dataclasses.replace(dinov2.LARGE.preprocessing, side=side)
    small = dataclasses.replace(dinov2.LARGE, architecture=architecture, preprocessing=preprocessing)
    monkeypatch.setattr(dinov2, "LARGE", small)
    np.savez(tmp_path / "w.npz", **stored(random_weights(architecture.shapes(), 0), DINOV2))
    monkeypatch.setenv("COMPARE_GAN_DINOV2_VITL14", str(tmp_path / "w.npz"))
    words = [
        "evaluate",
        run_dir,
        "--extractor",
        "dinov2_vitl14",
        "--images",
        20,
        "--score_filename",
        "dinov2.csv",
    ]
    words += ["--metrics", "frechet_distance", "--num_eval_averaging_runs", 1]
    assert "frechet_distance" in run_command(capsys, 0, *words)
    (row,) = read_scores(run_dir, "dinov2.csv")
    assert row["extractor"] == "dinov2_vitl14" and float(row["frechet_distance"]) > 0


def test_another_file_of_scores_and_truncated_latent_vectors(run_dir, capsys):
    words = ["evaluate", run_dir, "--extractor", "random", "--images", 20, "--metrics", "frechet_distance"]
    words += ["--num_eval_averaging_runs", 1, "--score_filename", "truncated.csv"]
    before = (run_dir / "scores.csv").read_bytes()
    run_command(capsys, 0, *words)
    run_command(capsys, 0, *words, "--truncation", "0.5")
    full, truncated = read_scores(run_dir, "truncated.csv")
    assert (run_dir / "scores.csv").read_bytes() == before
    scores = {row["step"]: row["frechet_distance"] for row in read_scores(run_dir)}
    assert full["frechet_distance"] == scores["4"] != truncated["frechet_distance"]
    assert (full["truncation"], truncated["truncation"]) == ("", "0.5")
    out = run_command(capsys, 0, "compare", run_dir, "--score_filename", "truncated.csv")
    assert f"{float(truncated['frechet_distance']):.4g}" in out
    assert "give a name without a folder that ends in .csv" in run_command(
        capsys, 2, "evaluate", run_dir, "--score_filename", "../scores.csv"
    )
    flat = ["--truncation", "0.5", "--gin_bindings", "eval_z.distribution_fn = @tf.random.uniform"]
    words = ["train", *config(), "--model_dir", run_dir / "no", "--data", "blobs", "--extractor", "random"]
    message = run_command(capsys, 2, *words, "--eval_every_steps", 2, *flat)
    assert "--truncation needs a Gaussian prior" in message and not (run_dir / "no").exists()


def test_the_truncation_curve_has_the_scores_of_each_threshold(run_dir, capsys):
    common = ["evaluate", run_dir, "--extractor", "random", "--images", 20, "--num_eval_averaging_runs", 1]
    common += ["--metrics", "frechet_distance", "--score_filename", "curve.csv"]
    out = run_command(capsys, 0, *common, "--truncations", 0.8, 0.3)
    assert str(run_dir / "truncation.svg") in out
    curve = json.loads((run_dir / "truncation.json").read_text())
    assert curve["step"] == 4 and [point["truncation"] for point in curve["points"]] == [0.3, 0.8, None]
    rows = {row["truncation"]: row["frechet_distance"] for row in read_scores(run_dir, "curve.csv")}
    drawn = {point["truncation"]: point["scores"]["frechet_distance"] for point in curve["points"]}
    assert {str(key or ""): str(value) for key, value in drawn.items()} == rows
    assert len(set(drawn.values())) == 3
    picture = ElementTree.parse(run_dir / "truncation.svg").getroot()
    titles = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert sorted(titles) == sorted(
        [f"0.3: {drawn[0.3]:.4g}", f"0.8: {drawn[0.8]:.4g}", f"without truncation: {drawn[None]:.4g}"]
    )
    assert "leave out --truncation" in run_command(capsys, 2, *common, "--truncations", 1, "--truncation", 1)
    assert "gives 2" in run_command(capsys, 2, *common, "--truncations", 1, "--steps", "all")


def test_without_an_extractor_the_choices_are_listed(run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    for name in ("COMPARE_GAN_INCEPTION", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    np.save(tmp_path / "x.npy", open_dataset("digits").test.images)
    train = ["train", *config(), "--model_dir", tmp_path / "run", "--data", "blobs", "--eval_every_steps", 2]
    images = ["evaluate", "--images_from", tmp_path / "x.npy", "--reference"]
    for words in (["evaluate", run_dir], train, [*images, tmp_path / "x.npy"]):
        message = run_command(capsys, 2, *words)
        assert "give --extractor inception" in message and message.count("\n") == 1
    out = run_command(capsys, 0, *images, "digits")  # the packaged classifier of the digits
    assert "extractor: digits" in out and not (tmp_path / "run").exists()


def test_modules_that_a_run_names_are_imported_only_if_allowed(run_dir, tmp_path, capsys, monkeypatch):
    marker, module = tmp_path / "imported", "module_of_someone_else"
    (tmp_path / f"{module}.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    moved, out = tmp_path / "run", tmp_path / "x.npz"
    shutil.copytree(run_dir, moved)
    config_file = moved / "operative_config.gin"
    config_file.write_text(f"import {module}\n{config_file.read_text()}")
    sample = ["sample", moved, "--out", out, "--count", 4]
    for words in (sample, ["evaluate", moved, "--extractor", "random"], ["export", moved]):
        message = run_command(capsys, 2, *words)
        assert f"allow it by `--allow_imports {module}`" in message and message.count("\n") == 1
    assert not marker.exists()
    run_command(capsys, 0, *sample, "--allow_imports", module)
    assert marker.exists() and out.exists()


def test_a_run_whose_label_file_has_changed_is_not_scored(run_dir, tmp_path, capsys):
    moved, file = tmp_path / "run", tmp_path / "labels.csv"
    shutil.copytree(run_dir, moved)
    about = json.loads((moved / "run.json").read_text())
    about["labels"] = {"choice": str(file), "sha256": "0" * 64}
    about["reading"]["labels"] = str(file)
    (moved / "run.json").write_text(json.dumps(about))
    message = run_command(capsys, 2, "evaluate", moved, "--extractor", "random")
    assert "run.json names a label file" in message and message.count("\n") == 1
    file.write_text("index,label\n0,0\n")
    message = run_command(capsys, 2, "evaluate", moved, "--extractor", "random")
    assert "labels.csv: has changed since" in message and message.count("\n") == 1


def test_invalid_options_of_the_best_checkpoint_are_refused_before_training(tmp_path, capsys):
    words = ["train", *config(), "--model_dir", tmp_path / "run", "--data", "blobs", "--extractor", "random"]
    message = run_command(capsys, 2, *words, "--eval_every_steps", 0)
    assert "--eval_every_steps is 0; it must be at least 1" in message
    words += ["--eval_every_steps", 2, "--metrics", "prdc", "--best_by", "prdc"]
    message = run_command(capsys, 2, *words)
    assert "--best_by prdc: not one of the scores precision, recall, density, coverage" in message
    assert not (tmp_path / "run").exists()


def test_a_run_whose_data_is_gone_names_run_json_and_the_option(run_dir, tmp_path, capsys):
    moved = tmp_path / "run"
    shutil.copytree(run_dir, moved)
    about = json.loads((moved / "run.json").read_text())
    (moved / "run.json").write_text(json.dumps(about | {"data": "no/such/folder"}))
    message = run_command(capsys, 2, "evaluate", moved, "--extractor", "random")
    assert "run.json names data that cannot be opened" in message and "give --data" in message
    assert message.count("\n") == 1


def test_tables_that_cannot_be_written_are_refused(run_dir, tmp_path, capsys):
    (tmp_path / "file").touch()
    message = run_command(capsys, 2, "compare", run_dir, "--csv", tmp_path / "file" / "x.csv")
    assert "file: it or a parent is a file; choose another folder" in message
    assert "is a folder; --html must name a file" in run_command(
        capsys, 2, "compare", run_dir, "--html", tmp_path
    )
    assert "is a folder; --json must name a file" in run_command(
        capsys, 2, "evaluate", run_dir, "--json", tmp_path
    )


def test_compare_requires_the_same_protocol(run_dir, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    text = (run_dir / "scores.csv").read_text()
    (other / "scores.csv").write_text(text)
    page = tmp_path / "scores.html"
    out = run_command(
        capsys,
        0,
        "compare",
        run_dir,
        other,
        "--metrics",
        "kid_score",
        "--html",
        page,
        "--csv",
        tmp_path / "s.csv",
    )
    assert "kid_score" in out and str(other) in out and "<table" in page.read_text()
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 3
    (other / "scores.csv").unlink()
    for row in read_scores(run_dir):
        write_scores(other, row | {"seed": "43"})
    assert "evaluated with different protocols (seed: '42' or '43')" in run_command(
        capsys, 2, "compare", run_dir, other
    )
    assert "kid_score" in run_command(capsys, 0, "compare", run_dir, other, "--mixed")


def test_features_from_files(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(60, 5)))
    words = ["evaluate", "--features", tmp_path / "a.npy", "--reference-features", tmp_path / "b.npy"]
    run_command(capsys, 0, *words, "--metrics", "fid_score,kid_score", "--json", tmp_path / "out.json")
    scores = json.loads((tmp_path / "out.json").read_text())
    assert scores["fid_score"] > 0 and scores["kid_score"] is not None
    assert (scores["generated_images"], scores["real_images"]) == (60, 60)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["evaluate"], "give exactly one of: a run folder, --images_from, --features"),
        (["evaluate", "--features", "a.npy"], "--features needs --reference_features"),
        (["evaluate", "--features", "a.npy", "--reference_features", "b.npy"], "a.npy: cannot be read"),
        (["evaluate", "--images_from", "x"], "--images_from needs exactly one of --reference"),
        (["evaluate", "--images_from", "x", "--reference", "y", "--truncation", "1"], "--truncation is for"),
        (["evaluate", "no/such/run"], "not a run folder"),
        (["compare", "no/such/run"], "no scores"),
    ],
)
def test_errors_are_one_line(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(tmp_path))
    message = run_command(capsys, 2, *words)
    assert expected in message and message.count("\n") == 1


def test_schedules_of_compare_gan(tmp_path, capsys):
    folder = tmp_path / "run"
    words = ["train", *config(), "--model_dir", folder, "--data", "blobs", "--extractor", "random"]
    words += bindings("options.training_steps = 2", "run_config.save_checkpoints_steps = 1")
    words += ["--images", "20", "--metrics", "frechet_distance"]
    run_command(capsys, 0, *words, "--schedule", "eval_after_train")
    rows = read_scores(folder)
    assert [row["step"] for row in rows] == ["1", "2"]
    assert len(rows[0]["frechet_distance_list"].split("_")) == 3  # sets, as in compare_gan
    (folder / "scores.csv").unlink()
    run_command(capsys, 0, *words, "--schedule", "continuous_eval")  # training is done, so it ends
    again = read_scores(folder)
    assert [row["frechet_distance_mean"] for row in again] == [row["frechet_distance_mean"] for row in rows]


def test_a_folder_with_itself(tmp_path, capsys):
    """A folder without a test split is used in full, and its distance to itself is 0."""
    np.save(tmp_path / "x.npy", open_dataset("digits").test.images)
    words = ["evaluate", "--images_from", tmp_path / "x.npy", "--reference", tmp_path / "x.npy"]
    words += ["--extractor", "digits"]
    run_command(capsys, 0, *words, "--metrics", "fid_score", "--json", tmp_path / "out.json")
    row = json.loads((tmp_path / "out.json").read_text())
    assert row["fid_score"] == pytest.approx(0, abs=1e-6) and row["real_split"] == "all"
    assert row["real_images"] == row["generated_images"] == 450
    run_command(
        capsys,
        0,
        *words,
        "--reference_split",
        "test",
        "--metrics",
        "fid_score",
        "--json",
        tmp_path / "out.json",
    )
    row = json.loads((tmp_path / "out.json").read_text())
    assert row["real_split"] == "test" and row["real_images"] == 90


def test_a_folder_of_images_against_a_data_set(tmp_path, capsys):
    images = open_dataset("blobs").test.images
    for i in range(len(images)):
        Image.fromarray(images[i]).save(tmp_path / f"{i:03}.png")
    words = ["evaluate", "--images_from", tmp_path, "--reference", "blobs", "--extractor", "random"]
    out = run_command(capsys, 0, *words, "--metrics", "frechet_distance", "prdc")
    scores = dict(line.split(": ") for line in out.splitlines())
    assert float(scores["frechet_distance"]) < 1e-6 and float(scores["coverage"]) == 1


def test_outputs_replace_only_what_compare_gan_wrote(run_dir, tmp_path, capsys):
    scores = ["evaluate", run_dir, "--extractor", "random", "--images", 20, "--num_eval_averaging_runs", 1]
    scores += ["--metrics", "frechet_distance", "--json"]
    sheet = ["sample", run_dir, "--count", 4, "--out"]
    compared = ["compare", run_dir]
    for words, name in [
        (scores, "scores.json"),
        (sheet, "sheet.png"),
        (sheet, "sheet.npz"),
        ([*compared, "--csv"], "table.csv"),
        ([*compared, "--html"], "table.html"),
    ]:
        path = tmp_path / "new folder" / name
        run_command(capsys, 0, *words, path)
        written = path.read_bytes()
        run_command(capsys, 0, *words, path)
        assert path.read_bytes() == written
        path.write_bytes(b"mine")
        assert "compare_gan did not write it" in run_command(capsys, 2, *words, path)
        assert path.read_bytes() == b"mine"
        run_command(capsys, 0, *words, path, "--overwrite")
        assert path.read_bytes() == written
    before = (run_dir / "scores.csv").read_bytes()
    for words in ([*compared, "--csv", run_dir / "scores.csv"], [*scores, run_dir / "scores.csv"]):
        assert "is read by this command" in run_command(capsys, 2, *words, "--overwrite")
    assert (run_dir / "scores.csv").read_bytes() == before


def test_samples_do_not_mix_with_other_images(run_dir, tmp_path, capsys):
    words = ["sample", run_dir, "--count", 2, "--out"]
    assert f"{run_dir}: is the folder of a run; choose another --out" in run_command(
        capsys, 2, *words, run_dir
    )
    run_command(capsys, 0, *words, tmp_path)
    run_command(capsys, 0, *words, tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "000001.png")
    message = run_command(capsys, 2, *words, tmp_path)
    assert "000001.png: exists, and compare_gan did not write it" in message
    run_command(capsys, 0, *words, tmp_path, "--overwrite")


def test_neighbours_are_drawn(run_dir, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    words = ["neighbours", run_dir, "--extractor", "random", "--images", 3]
    printed = run_command(capsys, 0, *words, "--out", out)
    assert "Of the held-out images 1% are nearer" in printed and f"step 4 of {run_dir}: {out}" in printed
    with Image.open(out) as image:
        assert image.mode == "RGB" and image.height > 3 * 64 and image.width > 8 * 64
    assert "must be in 1..200" in run_command(capsys, 2, *words, "--images", 0, "--out", out)
    assert "cannot write .txt" in run_command(capsys, 2, *words, "--out", tmp_path / "sheet.txt")
    assert "trained on" in run_command(capsys, 2, *words, "--out", out, "--data", "digits")

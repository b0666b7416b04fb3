"""Choices of labels on the command line: the training data, and the record in the run folder."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from compare_gan.data import open_dataset
from compare_gan.evaluation.scores import read_scores, score
from compare_gan.main import main

CONFIG = """
dataset.name = "blobs"
options.gan_class = @S3GAN
options.architecture = "resnet_small_arch"
options.batch_size = 8
options.training_steps = 1
options.z_dim = 4
resnet_small.Generator.ch = 4
resnet_small.Discriminator.ch = 4
ModularGAN.conditional = True
G.batch_norm_fn = @conditional_batch_norm
S3GAN.project_y = True
S3GAN.self_supervision = "none"
S3GAN.rotated_batch_fraction = 2
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "tiny.gin").write_text(CONFIG)
    return ["train", "--model_dir", str(tmp_path / "run"), "--gin_config", str(tmp_path / "tiny.gin")]


@pytest.fixture
def trained_on(monkeypatch):
    """The training data, without training."""
    seen = []
    monkeypatch.setattr("compare_gan.runs.train_gan", lambda gan, split, **_: seen.append((gan, split)))
    return seen


def noted(tmp_path):
    return json.loads((tmp_path / "run" / "run.json").read_text())


def refused(capsys, words, expected):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert expected in err and err.count("\n") == 1


@pytest.mark.slow
def test_a_run_on_a_table_of_soft_labels(tmp_path, command, capsys):
    path = tmp_path / "few.csv"
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 40).round(6)
    names = ",".join(open_dataset("blobs").class_names)
    path.write_text(
        f"index,{names}\n" + "".join(f"{3 * i},{','.join(map(str, r))}\n" for i, r in enumerate(rows))
    )
    assert main([*command, "--labels", str(path), "--labelled_only"]) == 0
    about = noted(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["labels"] == {"choice": str(path), "sha256": digest} and about["labelled_only"]
    assert about["num_classes"] == 4 and (tmp_path / "run" / "TRAIN_DONE").exists()
    path.write_text(path.read_text().replace("\n0,", "\n1,"))
    refused(capsys, [*command, "--labels", str(path), "--labelled_only"], "(labels {")


@pytest.mark.slow
def test_a_run_on_one_class_has_no_class_agreement(tmp_path, command):
    extractor = tmp_path / "blobs.npz"
    words = ["classifier", "--data", "blobs", "--out", str(extractor), "--width", "2", "--steps", "1"]
    assert main(words) == 0
    assert main([*command, "--labels", "single"]) == 0
    about = noted(tmp_path)
    assert about["labels"] == {"choice": "single"} and about["num_classes"] == 1
    words = ["evaluate", str(tmp_path / "run"), "--extractor", str(extractor), "--images", "20"]
    assert main(words) == 0
    (row,) = read_scores(tmp_path / "run")
    assert score(row, "class_agreement") is None and score(row, "frechet_distance") > 0


def test_what_training_gets(tmp_path, command, trained_on):
    true = open_dataset("blobs").train
    (tmp_path / "few.csv").write_text("index,label\n7,top left\n9,bottom right\n")
    (tmp_path / "clusters.csv").write_text(
        "".join(f"{i},{i % 6}\n" if i >= 0 else "index,label\n" for i in range(-1, 256))
    )
    expected = np.full(256, -1)
    expected[[7, 9]] = [0, 1]  # the classes that no row names are left out
    for choice, classes, labels in (
        (None, 4, true.labels),
        (tmp_path / "few.csv", 2, expected),
        (f"clusters:{tmp_path / 'clusters.csv'}", 6, np.arange(256) % 6),
        ("single", 1, np.zeros(256)),
    ):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        assert main([*command, *([] if choice is None else ["--labels", str(choice)])]) == 0
        gan, split = trained_on.pop()
        assert gan.spec.num_classes == gan.y_dim == classes
        np.testing.assert_array_equal(split.labels, labels)
        np.testing.assert_array_equal(split.images, true.images)
    assert (
        main(
            [
                *command[:2],
                str(tmp_path / "few"),
                *command[3:],
                "--labels",
                str(tmp_path / "few.csv"),
                "--labelled-only",
            ]
        )
        == 0
    )
    _, split = trained_on.pop()
    np.testing.assert_array_equal(split.labels, [0, 1])
    np.testing.assert_array_equal(split.images, true.images[[7, 9]])


def test_the_configuration_may_name_the_labels(tmp_path, command, trained_on):
    (tmp_path / "few.csv").write_text("index,label\n7,1\n")
    words = [*command, "--gin_bindings", f"replace_labels.file_pattern = '{tmp_path / 'few.csv'}'"]
    assert main(words) == 0
    assert np.flatnonzero(trained_on.pop()[1].labels >= 0).tolist() == [7]
    assert noted(tmp_path)["labels"]["choice"] == str(tmp_path / "few.csv")


def test_errors_are_reported_before_anything_is_written(tmp_path, command, capsys):
    (tmp_path / "bad.csv").write_text("index,label\n256,0\n")
    for choice, expected in (
        ("singel", "'singel' are neither an existing file nor single, random[:SEED] or clusters:FILE"),
        (str(tmp_path / "bad.csv"), "bad.csv: line 2: index 256 is out of range for 256 images"),
        (str(tmp_path / "none.npz"), "none.npz: cannot be read"),
    ):
        refused(capsys, [*command, "--labels", choice], expected)
    assert not (tmp_path / "run").exists()

"""`compare-gan classifier`: what it learns from, and whose training it resumes."""

import json

import numpy as np
import pytest

from compare_gan.main import main


@pytest.fixture
def call(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 4
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=images, labels=np.array([0, 2, 1, 3])[labels])
    np.savez(tmp_path / "few.npz", images=images, labels=np.where(np.arange(40) < 30, labels, -1))
    np.savez(tmp_path / "none.npz", images=images, labels=np.full(40, -1))

    def call(data, *words):
        options = {"--data": tmp_path / data, "--out": tmp_path / "q.npz", "--width": 2, "--steps": 1}
        options |= dict(zip(words[::2], words[1::2], strict=True))
        return main(["classifier", *(str(word) for pair in options.items() for word in pair)])

    return call


def provenance(path):
    with np.load(path) as file:
        return json.loads(str(file["about"]))["provenance"]


def test_a_training_of_other_data_or_settings_is_refused(call, tmp_path, capsys):
    assert call("a.npz") == 0
    first = (tmp_path / "q.npz").read_bytes()
    capsys.readouterr()
    for words, expected in (
        (("b.npz",), "other labels"),
        (("a.npz", "--seed", 1), "seed 0, not 1"),
        (("a.npz", "--steps", 2), "steps 1, not 2"),
        (("a.npz", "--width", 3), "width 2, not 3"),
    ):
        assert call(*words) == 2
        message = capsys.readouterr().err
        assert expected in message and "q.run" in message and message.count("\n") == 1
    assert call("a.npz") == 0 and (tmp_path / "q.npz").read_bytes() == first


def test_images_without_a_label_are_left_out(call, tmp_path, capsys):
    assert call("few.npz") == 0
    assert "training images that have a label" in capsys.readouterr().out
    about = provenance(tmp_path / "q.npz")
    assert about["train_images"] + about["test_images"] == 30
    assert call("none.npz", "--out", tmp_path / "r.npz") == 2
    message = capsys.readouterr().err
    assert "no training image has a label" in message and not (tmp_path / "r.npz").exists()


def test_mistakes_leave_no_training_behind(call, tmp_path, capsys):
    (tmp_path / "folder.npz").mkdir()
    for words, expected in (
        (("--width", 0), "--width is 0; it must be at least 1"),
        (("--steps", -3), "--steps is -3"),
        (("--out", tmp_path / "folder.npz"), "folder.npz: is a folder; --out must name a file"),
    ):
        assert call("a.npz", *words) == 2
        message = capsys.readouterr().err
        assert expected in message and message.count("\n") == 1 and not list(tmp_path.glob("*.run"))

"""What was made from other inputs is never used in silence."""

import logging

import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json
from compare_gan.core.origin import changed_files, claim, is_intact, is_made, seal, signed

ORIGIN = {"images": "a" * 64, "seed": 0, "recipe": {"width": 4, "steps": (1, 2)}}


def test_a_file_is_made_once_from_one_origin(tmp_path):
    path = tmp_path / "pretrained.npz"
    assert not is_made(path, ORIGIN) and not is_made(path, ORIGIN | {"seed": 1})  # not written yet
    path.write_text("weights")
    assert is_made(path, ORIGIN | {"seed": 1})
    assert read_json(tmp_path / "pretrained.json")["recipe"] == {"width": 4, "steps": [1, 2]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 7}, "seed 0, not 7"),
        ({"images": "b" * 64}, "other images"),
        ({"recipe": {"width": 8, "steps": (1, 2)}}, "width 4, not 8"),
        ({"seed": 7, "fraction": 0.1}, "seed 0, not 7; fraction None, not 0.1"),
        ({"seed": 7, "images": "b" * 64}, "other images; seed 0, not 7"),
    ],
)
def test_what_differs_is_named(tmp_path, change, words):
    path = tmp_path / "features.npz"
    is_made(path, ORIGIN)
    path.write_text("features")
    claim(tmp_path / "run", ORIGIN)
    claim(tmp_path / "run", ORIGIN)
    for check in (lambda: is_made(path, ORIGIN | change), lambda: claim(tmp_path / "run", ORIGIN | change)):
        with pytest.raises(UserError, match=f"was created from other inputs .{words}.; remove it") as caught:
            check()
        assert "\n" not in str(caught.value)


def test_a_record_of_an_older_version_is_refused_in_one_line(tmp_path):
    """Records of older versions lack entries, here and in a nested record."""
    path = tmp_path / "features.npz"
    is_made(path, ORIGIN)
    path.write_text("features")
    now = ORIGIN | {"recipe": {**ORIGIN["recipe"], "decay": 0.5}, "pretraining": "rotation"}
    with pytest.raises(
        UserError, match="has no record of decay, pretraining, probably because an older"
    ) as caught:
        is_made(path, now)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_file_from_elsewhere_is_used_with_a_warning(tmp_path, caplog):
    path = tmp_path / "labels-train.npz"
    path.write_text("labels")
    with caplog.at_level(logging.WARNING):
        assert is_made(path, ORIGIN) and is_made(path, ORIGIN)
    assert caplog.messages == [f"{path}: has no provenance record (labels-train.json); used as it is"]


def test_checkpoints_of_unknown_origin_are_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="holds checkpoints but no provenance record"):
        claim(tmp_path, ORIGIN)


def test_a_sealed_file_that_has_changed_is_kept_aside_and_created_again(tmp_path, caplog):
    path, other = tmp_path / "labels-train.npz", tmp_path / "predictions.npz"
    is_made(path, ORIGIN)
    path.write_text("labels")
    other.write_text("predictions")
    others = other, tmp_path / "labels-soft.npz"
    assert is_made(path, ORIGIN, *others)  # complete, but not sealed: by an older version, or killed
    sealed = read_json(tmp_path / "labels-train.json")
    seal(path, *others)
    assert read_json(tmp_path / "labels-train.json") == sealed
    assert is_made(path, ORIGIN) and changed_files(path) == []
    other.write_text("Predictions")
    with caplog.at_level(logging.WARNING):
        assert not is_made(path, ORIGIN)
    assert caplog.messages == [f"{other}: has changed since it was created; renamed and created again"]
    assert (tmp_path / "predictions.npz.damaged").read_text() == "Predictions" and not other.exists()
    path.write_text("new labels")
    other.write_text("predictions")
    seal(path, other)
    other.unlink()
    assert changed_files(path) == [other] and not is_made(path, ORIGIN)
    seal(path)
    with pytest.raises(UserError, match="was created from other inputs"):
        is_made(path, ORIGIN | {"seed": 1})


def test_signed_values_notice_a_change():
    values = signed({"a": 1, "b": {"c": 0.5}})
    assert is_intact(values) and signed(values) == values and is_intact({"a": 1})
    assert is_intact(values | {"seconds": 1})
    assert not is_intact(values | {"a": 2}) and not is_intact(values | {"d": None})

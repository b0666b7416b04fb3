"""Reading study folders, and error messages for inconsistent files."""

import json

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_log
from compare_gan.report.collect import collect_labels, collect_study, curve, evenly_spaced, number, read_grid


def test_at_most_ten_steps_are_read_including_the_first_and_the_last(study):
    steps = [list(run.samples) for run in collect_study(study).runs]
    assert steps == [[0, 100, 300, 400, 500, 700, 800, 900, 1100, 1200]] * 3


def test_evenly():
    assert evenly_spaced(range(5), 10) == [0, 1, 2, 3, 4]
    assert evenly_spaced(range(101), 5) == [0, 25, 50, 75, 100]
    assert evenly_spaced([], 3) == []


def test_a_resumed_log_keeps_the_later_record_and_drops_an_incomplete_line(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text(
        '{"step": 1, "a": 1}\n{"step": 3, "a": 9}\n{"step": 2, "a": NaN}\n{"step": 3, "a": 3}\n{"step": 4, "a'
    )
    steps, values = curve(read_log(log), "a")
    assert steps.tolist() == [1, 3] and values.tolist() == [1, 3]
    assert curve((), "a")[0].shape == (0,)


def test_a_broken_line_inside_a_log_is_named(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n[]\n{"step": 2}\n')
    with pytest.raises(UserError, match="line 2"):
        read_log(log)


def test_a_grid_that_does_not_match_its_layout_is_refused(tmp_path):
    image, layout = tmp_path / "a.png", tmp_path / "grid.json"
    assert read_grid(image) is None
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(image)
    layout.write_text(json.dumps({"rows": 2, "columns": 3, "tile": [4, 4]}))
    assert read_grid(image).pixels.shape == (8, 12, 4)
    layout.write_text(json.dumps({"rows": 3, "columns": 3, "tile": [4, 4]}))
    with pytest.raises(UserError, match="12 x 8 pixels, but grid.json has 3 x 3 tiles"):
        read_grid(image)
    layout.write_text(json.dumps({"rows": 3}))
    with pytest.raises(UserError, match="columns"):
        read_grid(image)
    image.write_text("no image")
    layout.write_text(json.dumps({"rows": 2, "columns": 3, "tile": [4, 4]}))
    with pytest.raises(UserError, match="damaged image"):
        read_grid(image)


@pytest.mark.parametrize(
    "labels",
    [
        {"confusion": [[1, 2]]},
        {"confusion": [[1]], "class_names": ["a", "b"]},
        {"balance": ["x"]},
        {"balance": [1, 2], "kept_balance": [1]},
        {"balance": [1, 2], "test": {"confusion": [[1]]}},
        {"balance": [1], "least_certain": {"confidence": [0.5], "inferred": [7], "true": [0]}},
        {"balance": [1], "least_certain": {"confidence": [0.5], "inferred": [], "true": [0]}},
        {"balance": [1], "least_certain": [1]},
    ],
)
def test_inconsistent_label_counts_are_refused(tmp_path, labels):
    path = tmp_path / "label_quality.json"
    path.write_text(json.dumps(labels))
    with pytest.raises(UserError, match="inconsistent label counts|expected"):
        collect_labels(path)


def test_number():
    assert [number(v) for v in (1, 0.5, None, True, "1", float("nan"), float("inf"))] == [1, 0.5] + [None] * 5

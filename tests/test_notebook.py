"""The notebook in `examples` runs from the first cell to the last, with fewer training steps."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "few_labels.ipynb"
FEWER = {"steps=1500": "steps=150", "runs=1)": "runs=1, images=450)"}


def code_cells() -> list[dict]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join("".join(cell["source"]) for cell in code_cells())
    for shown, shrunken in FEWER.items():
        assert shown in code
        code = code.replace(shown, shrunken)
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, NOTEBOOK.name, "exec"), names)
    hidden = names["hidden"]
    assert hidden.sum() == 1347 - 136  # a tenth of the labels of each class
    assert names["correct"][hidden].mean() > 0.9 and names["correct"][~hidden].all()
    # After a tenth of its training the GAN is closer to the test images than noise is.
    noise = np.random.default_rng(0).integers(0, 256, (450, 8, 8, 1), np.uint8)
    test = names["digits"].test.images[:]
    far = names["cg"].score_images(noise, test, ["fid_score"], extractor="digits")["fid_score"]
    assert names["real"]["fid_score"] < names["scores"]["fid_score"] < far / 2
    assert (tmp_path / "export" / "generator.jax").exists()


def test_it_is_committed_with_its_outputs_and_small():
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert NOTEBOOK.stat().st_size < 500_000

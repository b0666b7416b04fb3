"""What README shows in Python runs as it stands, with fewer steps."""

import re
from pathlib import Path

import pytest

from compare_gan.fewlabels import LabelRecipe

ROOT = Path(__file__).parents[2]
FEWER = {
    "seed=0)  # a label": "seed=0, recipe=tiny)  # a label",
    "steps=1500": "steps=1",
    "scores = run.evaluate(": "scores = run.evaluate(images=100, runs=1, metrics=",
    'methods=["s3gan", "all_labels"]': "methods=['no_labels']",
    "seeds=[0, 1, 2]": "seeds=[0], quick=True, steps=1",
}


@pytest.mark.slow
def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = "".join(blocks)
    for shown, shrunken in FEWER.items():
        assert shown in code
        code = code.replace(shown, shrunken)
    names: dict = {"tiny": LabelRecipe(width=4, pretrain_steps=2, classify_steps=2, calibration_fits=0)}
    exec(code, names)
    assert (names["labelled"].train.labels >= 0).all()
    assert names["images"].shape == (64, 8, 8, 1)
    assert {"frechet_distance", "class_agreement"} <= names["scores"].keys()
    assert "No labels" in names["study"].table()

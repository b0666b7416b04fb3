"""What README shows in Python runs as it stands, with fewer steps."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FEWER = {
    "LabelRecipe()": "LabelRecipe(width=4, pretrain_steps=2, classify_steps=2)",
    "resnet_small.Generator": "functools.partial(resnet_small.Generator, ch=4)",
    "resnet_small.Discriminator": "functools.partial(resnet_small.Discriminator, ch=4)",
    "steps=1500": "steps=1",
}


def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = "import functools\n" + "".join(blocks)
    for shown, shrunken in FEWER.items():
        assert shown in code
        code = code.replace(shown, shrunken)
    names: dict = {}
    exec(code, names)
    assert (names["labelled"].train.labels >= 0).all() and int(names["state"].step) == 1
    assert (tmp_path / "runs" / "mine" / "s3gan" / "TRAIN_DONE").exists()

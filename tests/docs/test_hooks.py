"""The hook for Weights & Biases in docs/hooks.md logs what metrics.jsonl and samples/ hold."""

import re
import sys
import types
from pathlib import Path

import pytest

from compare_gan.core.files import read_log
from compare_gan.training.loop import run
from compare_gan.training.schedule import TrainSchedule
from tests.training.tiny import COUNT, blobs

ROOT = Path(__file__).parents[2]


class FakeWandb(types.ModuleType):
    """The part of `wandb` that the hook uses."""

    def __init__(self):
        super().__init__("wandb")
        self.settings, self.logged = [], {}

    def init(self, **settings):
        self.settings.append(settings)
        return self

    def Image(self, path):  # noqa: N802 (wandb's name)
        return "image", Path(path).read_bytes()

    def log(self, row, step):
        assert step not in self.logged
        self.logged[step] = row


def test_the_hook_for_weights_and_biases(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "hooks.md").read_text(), re.DOTALL)
    names: dict = {}
    (code,) = [block for block in blocks if "class WandbHook" in block]
    exec(code, names)
    hook = names["WandbHook"]("runs/mine", project="gans")
    assert wandb.settings == [{"id": "runs-mine", "resume": "allow", "project": "gans"}]

    samples = tmp_path / "runs" / "mine" / "samples"
    samples.mkdir(parents=True)
    schedule = TrainSchedule(10, log_every=3, sample_every=4)

    def draw(step, state, metrics):
        if step and schedule.due(schedule.sample_every, step):
            (samples / f"{step:06}.png").write_bytes(b"png %d" % step)

    run(COUNT, blobs().train, run_dir=samples.parent, schedule=schedule, seed=0, hooks=[draw, hook])
    rows = {row["step"]: row for row in read_log(samples.parent / "metrics.jsonl")}
    images = {step: row.pop("samples") for step, row in wandb.logged.items() if "samples" in row}
    assert list(rows) == list(wandb.logged) == [3, 4, 6, 8, 9, 10]
    assert images == {step: ("image", b"png %d" % step) for step in (4, 8, 10)}
    for step, row in wandb.logged.items():
        written = {name: value for name, value in rows[step].items() if name != "seconds"}
        assert row == pytest.approx(written, rel=1e-5)  # metrics.jsonl has six digits

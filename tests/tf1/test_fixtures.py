"""The recorded models of the original compare_gan; they are too large for the repository."""

from pathlib import Path

import pytest

from .__main__ import main, run
from .fixtures import folders

RECORDED = Path(__file__).parents[3] / "shared/tf1"
NAMES = [path.name for path in folders(RECORDED)] or ["none"]


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded models are not on this machine")
@pytest.mark.parametrize("name", NAMES)
def test_recorded_model(name):
    outcome = run(RECORDED / name)
    assert outcome.passed, "\n".join(outcome.lines())


def test_a_folder_without_models(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tests.tf1", str(tmp_path)])
    assert main() == 1
    assert capsys.readouterr().out == "0 passed, 0 failed\n"
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "fixture.json").write_text("{")
    assert main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"

"""A short kill test; `python -m tests.kill` runs the full one."""

import json

import pytest

from tests import kill


@pytest.mark.slow
def test_killed_training_resumes_bit_exactly(tmp_path, capsys):
    results = tmp_path / "results.json"
    words = ["--rounds", "1", "--kills", "2", "--ways", "kill-save,full", "--json", str(results)]
    assert kill.main(words) == 0, capsys.readouterr().out
    (only,) = json.loads(results.read_text())["rounds"]
    assert only["wrong"] is None and [line.split(":")[0] for line in only["happened"]] == only["ways"]
    assert "1 passed, 0 failed" in capsys.readouterr().out

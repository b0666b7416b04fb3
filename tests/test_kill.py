"""The kill test in small; `python -m tests.kill` is the whole."""

import json

import pytest

from tests import kill


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_to_the_same_bits(tmp_path, capsys):
    told = tmp_path / "told.json"
    words = ["--rounds", "1", "--kills", "2", "--ways", "kill-save,full", "--json", str(told)]
    assert kill.main(words) == 0, capsys.readouterr().out
    (only,) = json.loads(told.read_text())["rounds"]
    assert only["wrong"] is None and [line.split(":")[0] for line in only["happened"]] == only["ways"]
    assert "1 passed, 0 failed" in capsys.readouterr().out

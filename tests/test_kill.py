"""A small round of `python -m tests.kill`."""

import json

import pytest

from tests import kill


@pytest.mark.slow
def test_a_killed_training_resumes_bit_exactly(tmp_path, capsys):
    path = tmp_path / "results.json"
    words = ["--rounds", "1", "--kills", "2", "--ways", "kill-save,full", "--json", str(path)]
    assert kill.main(words) == 0, capsys.readouterr().out
    (only,) = json.loads(path.read_text())["rounds"]
    assert only["failure"] is None and [line.split(":")[0] for line in only["events"]] == only["ways"]
    assert "1 passed, 0 failed" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_commands_resume_to_the_same_files(tmp_path, capsys):
    path = tmp_path / "results.json"
    words = ["--what", "few-labels,evaluate,classifier,export,prepare,study", "--rounds", "10"]
    assert kill.main([*words, "--json", str(path)]) == 0, capsys.readouterr().out
    rounds = json.loads(path.read_text())["rounds"]
    assert len(rounds) == 10 and all(each["failure"] is None for each in rounds)
    assert {way for each in rounds for way in each["ways"]} == {"kill", "kill-write", "full", "two"}

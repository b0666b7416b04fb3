"""Tables of GANs trained on few images."""

import json
import sys

from benchmarks import scarce_page
from benchmarks.scarce_page import table


def result(seed: int, part: str = "plain", **scores: float) -> dict:
    return {"part": part, "share": 0.1, "seed": seed, "images": 50, "scores": [{"step": 10, **scores}]}


def test_authenticity_has_no_ratio_and_distances_have_one():
    results = [
        result(0, frechet=4.0, authentic=0.2),
        result(1, frechet=2.0, authentic=0.4),
        result(0, "ADA", frechet=1.0, authentic=0.5),
    ]
    assert table(results, "authentic").splitlines()[2:] == ["| plain | 0.30 (0.20–0.40) |", "| ADA | 0.50 |"]
    assert table(results, "frechet").splitlines()[3] == "| ADA | 1.00, **0.25x** |"


def test_old_results_without_authenticity_are_rendered(tmp_path, monkeypatch, capsys):
    for seed, scores in enumerate(({"frechet": 4.0, "kernel": 0.1}, {"frechet": 2.0, "authentic": 0.4})):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "result.json").write_text(json.dumps(result(seed, **scores)))
    monkeypatch.setattr(sys, "argv", ["scarce_page", str(tmp_path)])
    scarce_page.main()
    printed = capsys.readouterr().out
    assert "Fréchet distance, 2 GANs" in printed and "authenticity, 1 GANs" in printed
    assert "authenticity of held-out" not in printed

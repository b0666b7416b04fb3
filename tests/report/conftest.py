"""A small study folder like those that `compare-gan demo` writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

TILE = 4
STEPS = tuple(range(0, 1300, 100))
CLASSES = ("cat", "dog", "<i>cow</i>")


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_grid(path: Path, layout: Path, rows: int, columns: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (rows * TILE, columns * TILE, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    write_json(layout, {"rows": rows, "columns": columns, "tile": [TILE, TILE]})


def write_method(folder: Path, seed: int) -> None:
    for step in STEPS:
        write_grid(folder / f"samples/{step:06d}.png", folder / "samples/grid.json", 3, 5, seed + step)
    write_grid(folder / "interpolations/001200.png", folder / "interpolations/grid.json", 2, 7, seed)
    rows = [
        {"step": s, "seconds": s / 10, "loss/d": 1.0 + s / 1e4, "loss/g": 0.5} for s in range(20, 1201, 20)
    ]
    rows[-1]["accuracy/rotation"] = 0.75
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "operative_config.gin").write_text(f"S3GAN.seed = {seed}  # <&>\n")


def line(method: str, fraction: float | None, distance: float, agreement: float | None, **more: Any) -> dict:
    """A line of summary.json; the values of the runs are spread over ±10%."""
    known = {"labels": 0, "seeds": 1, "steps": 1200, "seconds": 70.1, "not_finite": 0} | more
    values = distance * np.linspace(0.9, 1.1, known["seeds"]) if known["seeds"] > 1 else [distance]
    interval = [0.8 * distance, 1.2 * distance] if known["seeds"] > 1 else None
    scores: dict[str, Any] = {
        "frechet_distance": {
            "values": list(values),
            "mean": distance,
            "interval": interval,
            "lowest": 0.9 * distance,
            "highest": 1.1 * distance,
        }
    }
    scores["class_agreement"] = None if agreement is None else {"values": [agreement], "mean": agreement}
    return {"method": method, "fraction": fraction, "scores": scores, "ratios": {}} | known


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    lines = [
        line("all_labels", None, 3.2, 0.97, labels=60),
        line("s3gan", 0.1, 4.0, 0.9, labels=6, seconds=95.0),
        line("no_labels", None, 9.6, None, seconds=3700),
    ]
    runs = [
        {"method": x["method"], "fraction": x["fraction"], "seed": 7, "folder": x["method"]} for x in lines
    ]
    summary = {
        "lines": lines,
        "real": {"frechet_distance": 1.8, "class_agreement": 0.98},
        "findings": ["That is 1.25 times the distance of all labels."],
        "notes": ["Each score comes from one run."],
        "labels": [
            {
                "folder": ".",
                "kept": 6,
                "accuracy": 0.9,
                "hidden_labels": 54,
                "test_accuracy": 0.8,
                "test_labels": 15,
            }
        ],
        "clusters": [],
        "shown": {"runs": runs, "features": ".", "labels": "."},
        "train_images": 60,
        "test_images": 15,
        "seconds": {"pretrain": 30.0, "s3gan": 95.0},
        "extractor": {"name": "digits", "sha256": "0123456789abcdef"},
        "versions": {"compare_gan": "0.1.0", "jax": "0.10.2"},
    }
    confusion = [[16, 2, 0], [0, 18, 0], [1, 3, 14]]
    write_json(folder / "summary.json", summary)
    write_json(folder / "settings.json", {"data": "toy", "command": ["compare-gan", "demo", "--out", "a b"]})
    labels = {"accuracy": 0.9, "confusion": confusion, "class_names": CLASSES, "balance": [19, 25, 16]}
    labels |= {"kept_balance": [2, 2, 2], "true_balance": [20, 20, 20]}
    labels["test"] = {"accuracy": 0.8, "confusion": [[4, 1, 0], [1, 4, 0], [0, 1, 4]]}
    labels["least_certain"] = {
        "index": [3, 8], "confidence": [0.4, 0.5], "inferred": [0, 2], "true": [1, 2]
    }  # fmt: skip
    write_grid(folder / "least_certain" / "images.png", folder / "least_certain" / "grid.json", 1, 2, 9)
    write_json(folder / "label_quality.json", labels)
    lines = [
        {"step": s, "seconds": 1.0, "loss": 1.4 - s / 1e3, "accuracy": s / 1e3} for s in range(50, 1001, 50)
    ]
    (folder / "pretrain").mkdir()
    (folder / "real").mkdir()
    (folder / "pretrain" / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    write_grid(folder / "real" / "real.png", folder / "real" / "grid.json", 3, 5, 1)
    for seed, run in enumerate(runs):
        write_method(folder / run["folder"], seed)
    return folder

"""What the runs of a study folder came to: one row a run, one line for all seeds of a method."""

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.core.files import atomic, read_json, write_json
from compare_gan.core.methods import METHODS
from compare_gan.data.arrays import plain_arrays
from compare_gan.fewlabels.leak import CHECK
from compare_gan.fewlabels.probe import PROBE
from compare_gan.fewlabels.quality import QUALITY
from compare_gan.fewlabels.stages import KEPT
from compare_gan.fewlabels.study import CLUSTERS, RESULT, SECONDS, Study

SUMMARY, CSV = "summary.json", "results.csv"


def summarise(study: Study) -> dict[str, Any]:
    """Everything that was ever done in the study's folder, into `summary.json` and `results.csv`."""
    rows, labels, root = runs(study.folder), label_sets(study.folder), study.folder
    seconds: dict[str, float] = {}
    for path in files(root, SECONDS):
        for stage, spent in read_json(path).items():
            seconds[stage] = round(seconds.get(stage, 0.0) + spent, 2)
    extractor = study.extractor
    summary = {
        "runs": rows,
        "labels": labels,
        "clusters": cluster_sets(root),
        "lines": lines(rows),
        "shown": shown(study, rows),
        "seconds": seconds,
        "train_images": len(study.dataset.train),
        "test_images": len(study.dataset.test),
        "extractor": {"name": extractor.name, "sha256": extractor.sha256}
        if extractor
        else {"name": "pre-trained"},
        "versions": {"compare_gan": __version__, "jax": jax.__version__, "numpy": np.__version__},
    }
    write_json(root / SUMMARY, summary)
    write_csv(root / CSV, rows)
    return summary


def files(folder: Path, name: str) -> list[Path]:
    """All files of a name in a study's folder, but for those of a leak check."""
    return sorted(path for path in folder.rglob(name) if CHECK not in path.relative_to(folder).parts)


def runs(folder: Path) -> list[dict[str, Any]]:
    """One row a run, in the order of methods, labels and seeds."""
    rows = []
    for path in files(folder, RESULT):
        row = read_json(path)
        if row.get("method") in METHODS:
            rows.append(row | {"folder": str(path.parent.relative_to(folder))})
    order = list(METHODS)
    return sorted(rows, key=lambda row: (order.index(row["method"]), row["labels"], row["seed"]))


def shown(study: Study, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whose pictures and curves a report has room for: of each method the run of the first seed, and of
    several label budgets the middle one."""
    few = sorted((row for row in rows if METHODS[row["method"]].from_few), key=lambda row: row["labels"])
    budgets = list(dict.fromkeys(budget_of(row) for row in few))
    middle = budgets[len(budgets) // 2] if budgets else None
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        if not METHODS[row["method"]].from_few or budget_of(row) == middle:
            first.setdefault(row["method"], row)
    chosen = [first[name] for name in METHODS if name in first]
    labels = next((str(Path(r["folder"]).parent) for r in chosen if METHODS[r["method"]].from_few), None)
    seed = min((row["seed"] for row in rows), default=study.seeds[0])
    features = str(study.seed_folder(seed).relative_to(study.folder))
    return {"runs": chosen, "features": features, "labels": labels}


def label_sets(folder: Path) -> list[dict[str, Any]]:
    """How right the inferred labels of each seed and label budget are."""
    found = []
    for path in files(folder, QUALITY):
        if path.parent.name == CLUSTERS:
            continue
        quality, probe, kept = read_json(path), path.parent / PROBE, path.parent / KEPT
        about = {"folder": str(path.parent.relative_to(folder)), "kept": 0}
        if kept.exists():
            about["kept"] = len(plain_arrays(kept)["index"])
        about |= {"accuracy": quality["accuracy"], "test_accuracy": quality.get("test", {}).get("accuracy")}
        found.append(about | {"probe": read_json(probe)["linear_accuracy"] if probe.exists() else None})
    return sorted(found, key=lambda row: (row["kept"], row["folder"]))


def cluster_sets(folder: Path) -> list[dict[str, Any]]:
    """How well the clusters of each seed agree with the classes."""
    found = [path for path in files(folder, QUALITY) if path.parent.name == CLUSTERS]
    return [
        {
            "folder": str(path.parent.relative_to(folder)),
            "clusters": len(quality["balance"]),
            "purity": quality["purity"],
            "mutual_information": quality["mutual_information"],
        }
        for path in found
        if "purity" in (quality := read_json(path))
    ]


def lines(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A method with a label budget, over all seeds: the median of each score, its lowest and its highest."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], *budget_of(row)), []).append(row)
    found = []
    for (method, fraction, per_class), members in groups.items():
        scores = {}
        for name in ("frechet_distance", "class_agreement"):
            values = [value for row in members if (value := row.get(name)) is not None]
            scores[name] = spread(values) if values else None
        found.append(
            {
                "method": method,
                "fraction": fraction,
                "per_class": per_class,
                "labels": statistics.median_low(row["labels"] for row in members),
                "seeds": len(members),
                "steps": max(row["steps"] for row in members),
                "seconds": statistics.median(row["seconds"] for row in members),
                "scores": scores,
            }
        )
    return found


def budget_of(row: dict[str, Any]) -> tuple[float | None, int | None]:
    return row.get("fraction"), row.get("per_class")


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic(path) as file:
        file.write(buffer.getvalue().encode())


def table(summary: dict[str, Any]) -> str:
    """Medians over seeds with their range, for a terminal."""
    layout = "{:<24} {:>7} {:>9} {:>17} {:>6} {:>10}".format
    shown = [layout("method", "labels", "distance", "lowest-highest", "seeds", "agreement")]
    for line in summary["lines"]:
        distance, agreement = line["scores"]["frechet_distance"], line["scores"]["class_agreement"]
        range_ = f"{distance['lowest']:.3f}-{distance['highest']:.3f}" if line["seeds"] > 1 else ""
        agrees = "-" if agreement is None else f"{agreement['median']:.1%}"
        title = METHODS[line["method"]].title
        shown.append(
            layout(title, line["labels"], f"{distance['median']:.3f}", range_, line["seeds"], agrees)
        )
    by_kept: dict[int, list[float]] = {}
    for labels in summary["labels"]:
        by_kept.setdefault(labels["kept"], []).append(labels["accuracy"])
    for kept, accuracies in by_kept.items():
        right = f"{statistics.median(accuracies):.1%} of the inferred ones are right"
        shown.append(f"{kept} of {summary['train_images']} labels kept: {right}")
    shown.append("distance: Frechet distance to held-out images, median over seeds; lower is better")
    return "\n".join(shown)

"""The scores of all runs in a study folder: one row a run, one line a method over all its seeds."""

import dataclasses
import hashlib
import logging
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.core import tables
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, write_csv, write_json
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.run_files import (
    CLUSTERS,
    KEPT,
    LEAK_CHECK,
    PROBE,
    QUALITY,
    RESULT,
    RESULTS_TABLE,
    SECONDS,
    SUMMARY,
)
from compare_gan.core.statistics import difference_interval, mean_interval
from compare_gan.data.arrays import plain_arrays
from compare_gan.evaluation.evaluate import real_scores
from compare_gan.evaluation.scores import NOT_FINITE
from compare_gan.fewlabels.findings import BASELINES, findings, notes
from compare_gan.fewlabels.overview import NOT_MEASURED, as_record, overview
from compare_gan.fewlabels.study import Study
from compare_gan.fewlabels.tasks import scoring

SCORES = ("frechet_distance", "class_agreement")
REAL_IMAGES = 50_000  # at most; a few hundred drawn at random would have other class shares than the rest
log = logging.getLogger(__name__)


def summarise(study: Study) -> dict[str, Any]:
    """Everything that was ever done in the study's folder, into `summary.json` and `results.csv`."""
    rows, root = runs(study.folder), study.folder
    seconds: dict[str, float] = {}
    for path in files(root, SECONDS):
        for stage, spent in read_json(path).items():
            seconds[stage] = round(seconds.get(stage, 0.0) + spent, 2)
    sets = label_sets(root)
    left_out = list(study.settings.get("left_out", ()))
    if sets and all(each["accuracy"] is None and each["test_accuracy"] is None for each in sets):
        left_out.insert(0, NOT_MEASURED)
    summary: dict[str, Any] = {
        "runs": rows,
        "labels": sets,
        "clusters": cluster_sets(root),
        "lines": lines(rows),
        "real": real_images(study) if rows else None,
        "shown": shown(study, rows),
        "seconds": seconds,
        "data": as_record(overview(study.dataset), left_out),
        "train_images": len(study.dataset.train),
        "test_images": len(study.dataset.test),
        "extractor": extractor_of(study),
        "versions": {"compare_gan": __version__, "jax": jax.__version__, "numpy": np.__version__},
    }
    summary |= {"findings": findings(summary), "notes": notes(summary)}
    write_json(root / SUMMARY, summary)
    write_csv(root / RESULTS_TABLE, rows)
    return summary


def last_summary(folder: Path) -> dict[str, Any] | None:
    """The summary in a study's folder; None if there is none, or an earlier version wrote it."""
    there = folder / SUMMARY
    found = read_json(there) if there.exists() else {}
    return found if "held_out" in found.get("data", {}) else None


def extractor_of(study: Study) -> dict[str, Any]:
    """What scores are measured with, and whether it also infers the labels."""
    if study.extractor is not None:
        return {"name": study.extractor.name, "sha256": study.extractor.sha256, "infers_labels": False}
    inferring = any(method.labels in ("inferred", "soft", "clusters") for method in study.methods)
    own = study.features is None and study.label_file is None
    return {"name": "pre-trained", "seed": study.seeds[0], "infers_labels": inferring and own}


def real_images(study: Study) -> dict[str, Any] | None:
    """The scores of real images, which no generator need surpass; None where they cannot be measured.

    The Fréchet distance is that of training images to held-out ones, the class agreement that of held-out
    images. Scores in the last summary that were measured alike are used again.
    """
    extractor, settings = scoring(study)
    settings = dataclasses.replace(settings, images=max(2, min(len(study.dataset.train), REAL_IMAGES)))
    how: dict[str, Any] = {"extractor_sha256": extractor.sha256, "metrics": list(settings.metrics)}
    how |= {"images": settings.images, "seed": settings.seed}
    last = (last_summary(study.folder) or {}).get("real") or {}
    if how.items() <= last.items():
        return last
    dataset = study.dataset
    held_out = dataclasses.replace(
        dataset, train=dataset.test, class_names=dataset.test_classes, test_class_names=None
    )
    try:
        scores = how | real_scores(dataset, extractor, settings)
        if "class_agreement" in settings.metrics:  # training images are often known by heart
            alone = dataclasses.replace(settings, metrics=("class_agreement",))
            scores |= {"class_agreement": real_scores(held_out, extractor, alone)["class_agreement"]}
    except UserError as error:
        log.warning("real images have no scores: %s", error)
        return None
    return scores


def files(folder: Path, name: str) -> list[Path]:
    """All files of a name in a study's folder, except those of a leak check."""
    return sorted(path for path in folder.rglob(name) if LEAK_CHECK not in path.relative_to(folder).parts)


def runs(folder: Path) -> list[dict[str, Any]]:
    """One row a run, in the order of methods, labels and seeds."""
    rows = []
    for path in files(folder, RESULT):
        row, run = read_json(path), path.parent
        if row.get("method") in LABEL_METHODS:
            row["label_set"] = label_set(run.parent) if LABEL_METHODS[row["method"]].from_few else None
            rows.append(row | {"folder": str(run.relative_to(folder))})
    order = list(LABEL_METHODS)
    return sorted(rows, key=lambda row: (order.index(row["method"]), row["labels"], row["seed"]))


def label_set(folder: Path) -> str | None:
    """Eight hexadecimal digits that are equal where the same images keep their labels; None: not known."""
    kept = folder / KEPT
    if not kept.exists():
        return None
    return hashlib.sha256(plain_arrays(kept)["index"].astype("<i8").tobytes()).hexdigest()[:8]


def shown(study: Study, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whose pictures and curves a report has room for: of each method the run of the first seed, and of
    several label budgets the middle one."""
    few = sorted(
        (row for row in rows if LABEL_METHODS[row["method"]].from_few), key=lambda row: row["labels"]
    )
    budgets = list(dict.fromkeys(budget_of(row) for row in few))
    middle = budgets[len(budgets) // 2] if budgets else None
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        if not LABEL_METHODS[row["method"]].from_few or budget_of(row) == middle:
            first.setdefault(row["method"], row)
    chosen = [first[name] for name in LABEL_METHODS if name in first]
    labels = next(
        (str(Path(r["folder"]).parent) for r in chosen if LABEL_METHODS[r["method"]].from_few), None
    )
    seed = min((row["seed"] for row in rows), default=study.seeds[0])
    features = str(study.seed_folder(seed).relative_to(study.folder))
    return {"runs": chosen, "features": features, "labels": labels}


def label_sets(folder: Path) -> list[dict[str, Any]]:
    """How many of the inferred labels of each seed and label budget are right, where that is known."""
    found = []
    for path in files(folder, QUALITY):
        if path.parent.name == CLUSTERS:
            continue
        quality, probe, kept = read_json(path), path.parent / PROBE, path.parent / KEPT
        found.append(
            {
                "folder": str(path.parent.relative_to(folder)),
                "kept": len(plain_arrays(kept)["index"]) if kept.exists() else 0,
                "hidden_labels": quality.get("hidden_labels", 0),
                "accuracy": quality["accuracy"],
                "test_labels": quality.get("test_labels", 0),
                "test_accuracy": quality.get("test", {}).get("accuracy"),
                "never_inferred": [
                    name
                    for name, images in zip(quality["class_names"], quality["balance"], strict=True)
                    if not images
                ],
                "probe": read_json(probe)["linear_accuracy"] if probe.exists() else None,
            }
        )
    return sorted(found, key=lambda row: (row["kept"], row["folder"]))


def cluster_sets(folder: Path) -> list[dict[str, Any]]:
    """How well the clusters of each seed agree with the classes, where these are known."""
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
    """A method with a label budget over all seeds: its scores, and differences from the baselines."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], *budget_of(row)), []).append(row)
    found = []
    for (method, fraction, per_class), members in groups.items():
        distances = [row.get("frechet_distance") for row in members]
        found.append(
            {
                "method": method,
                "fraction": fraction,
                "per_class": per_class,
                "labels": statistics.median_low(row["labels"] for row in members),
                "seeds": len(members),
                "label_sets": len({row["label_set"] for row in members} - {None}),
                "steps": max(row["steps"] for row in members),
                "seconds": statistics.median(row["seconds"] for row in members),
                "not_finite": distances.count(NOT_FINITE),
                "scores": {name: spread(known(members, name)) for name in SCORES},
                "differences": {
                    other: difference(members, groups[other, None, None])
                    for other in BASELINES
                    if other != method and (other, None, None) in groups
                },
            }
        )
    return found


def known(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    """The values of a score, without those of generators whose images are not finite."""
    return [value for row in rows if (value := row.get(name)) not in (None, NOT_FINITE)]


def spread(values: Sequence[float]) -> dict[str, Any] | None:
    """All values of a score with what sums them up; None where there are none."""
    if not values:
        return None
    return {
        "values": list(values),
        "mean": statistics.fmean(values),
        "interval": mean_interval(values),
        "median": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
    }


def difference(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The mean Fréchet distance of some runs minus that of others, with Welch's 95% interval.

    Runs of one seed are not paired: a seed fixes neither the weights nor the noise of two methods alike.
    """
    ours, theirs = (known(group, "frechet_distance") for group in (rows, others))
    if not ours or not theirs:
        return None
    size = statistics.fmean(ours) - statistics.fmean(theirs)
    return {"difference": size, "interval": difference_interval(ours, theirs)}


def budget_of(row: dict[str, Any]) -> tuple[float | None, int | None]:
    return row.get("fraction"), row.get("per_class")


def table(summary: dict[str, Any]) -> str:
    """Means over seeds with their intervals, then what they show, for a terminal."""
    rows: list[tuple[tables.Cell, ...]] = [
        ("method", "labels", "distance", "95%", "lowest-highest", "runs", "agreement")
    ]
    for line in summary["lines"]:
        distance, agreement = (line["scores"][name] for name in SCORES)
        agrees = f"{agreement['mean']:.1%}" if agreement else "-"
        mean = half = range_ = "-"
        if distance:
            mean = f"{distance['mean']:.3f}"
            half = f"± {distance['interval'][1] - distance['mean']:.3f}" if distance["interval"] else ""
            range_ = f"{distance['lowest']:.3f}-{distance['highest']:.3f}" if line["seeds"] > 1 else ""
        title = LABEL_METHODS[line["method"]].title
        rows.append((title, line["labels"] or "-", mean, half, range_, line["seeds"], agrees))
    if real := summary["real"]:
        distance, agreement = (real.get(name) for name in SCORES)
        mean = "-" if distance is None else f"{distance:.3f}"
        agrees = "-" if agreement is None else f"{agreement:.1%}"
        rows.append(("Real training images", "", mean, "", "", "", agrees))
    text = tables.table(rows)
    whose = "held-out" if summary["data"]["held_out"] else "the training"
    text.append(f"distance: Fréchet distance to {whose} images, mean over runs; lower is better")
    for sentence in [*inferred(summary), *summary["findings"]]:
        text += tables.wrapped(sentence)
    for note in summary["notes"]:
        text += tables.wrapped(note, "* ")
    return "\n".join(text)


def inferred(summary: dict[str, Any]) -> list[str]:
    """How many labels were kept and how many of the inferred ones are right: a sentence for each number."""
    by_kept: dict[int, list[dict[str, Any]]] = {}
    for labels in summary["labels"]:
        by_kept.setdefault(labels["kept"], []).append(labels)
    told = []
    for kept, sets in by_kept.items():
        start = f"{kept} of {summary['train_images']} training images have a label that is used; inferred"
        start = start if kept else "Labels come from a file;"
        parts = []
        for name, count, what in (
            ("accuracy", "hidden_labels", "hidden labels" if kept else "labels that the data has"),
            ("test_accuracy", "test_labels", "labelled held-out images"),
        ):
            right = [each[name] for each in sets if each[name] is not None and each[count]]
            if right:
                parts.append(f"{statistics.fmean(right):.1%} of {sets[0][count]} {what}")
        told.append(f"{start} right: {', '.join(parts) or 'not known, no other label to compare with'}.")
    return told

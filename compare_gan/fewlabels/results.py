"""Results of a study: a row per run, the summary, and its table for a terminal."""

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
from compare_gan.core import records as kinds
from compare_gan.core import tables
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, write_csv, write_json
from compare_gan.core.label_methods import ALL_LABELS, find_method, method, rank
from compare_gan.core.origin import SIGNATURE, is_intact, warn_once
from compare_gan.core.run_files import (
    CLUSTERS,
    KEPT,
    LEAK_CHECK,
    PROBE,
    QUALITY,
    REPORT,
    RESULT,
    RESULTS_TABLE,
    SECONDS,
    SUMMARY,
)
from compare_gan.data.arrays import plain_arrays
from compare_gan.evaluation.evaluate import real_scores
from compare_gan.fewlabels.findings import findings, notes
from compare_gan.fewlabels.lines import budget_key, method_lines
from compare_gan.fewlabels.overview import NOT_MEASURED, as_record, overview
from compare_gan.fewlabels.study import Study
from compare_gan.fewlabels.tasks import scoring_setup

REAL_IMAGES = 50_000  # maximum; a small random sample would have different class proportions
log = logging.getLogger(__name__)


def summarise(study: Study) -> dict[str, Any]:
    """Summarises all runs in the study folder; writes `summary.json` and `results.csv`."""
    rows, root = run_rows(study.folder), study.folder
    seconds: dict[str, float] = {}
    for path in find_files(root, SECONDS):
        for stage, duration in read_json(path, kinds.SECONDS).items():
            seconds[stage] = round(seconds.get(stage, 0.0) + duration, 2)
    sets = label_set_records(root)
    left_out = list(study.settings.get("left_out", ()))
    if sets and all(record["accuracy"] is None and record["test_accuracy"] is None for record in sets):
        left_out.insert(0, NOT_MEASURED)
    summary: dict[str, Any] = {
        "runs": rows,
        "labels": sets,
        "clusters": cluster_records(root),
        "lines": method_lines(rows),
        "real": real_image_scores(study) if rows else None,
        "shown": select_shown(study, rows),
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


def is_current(folder: Path) -> bool:
    """Whether summary and report are newer than all results in a study folder.

    They are not if a process was killed after it had finished the last task.
    """
    written = [folder / SUMMARY, folder / RESULTS_TABLE, folder / REPORT]
    if not all(path.exists() for path in written):
        return False
    results = [path for name in (RESULT, QUALITY, SECONDS) for path in find_files(folder, name)]
    times = [path.stat().st_mtime_ns for path in written]
    return times == sorted(times) and all(path.stat().st_mtime_ns <= times[0] for path in results)


def last_summary(folder: Path) -> dict[str, Any] | None:
    """The summary in a study folder; None if there is none of this version, or it is damaged."""
    path = folder / SUMMARY
    try:
        if not path.exists() or "held_out" not in (read_json(path, kinds.ANY_SUMMARY).get("data") or {}):
            return None
        summary = read_json(path, kinds.LAST_SUMMARY)
    except UserError as error:
        warn_once(f"{error}; written again")
        return None
    current = all(find_method(line["method"]) and "ratios" in line for line in summary["lines"])
    return summary if current else None


def extractor_of(study: Study) -> dict[str, Any]:
    """The extractor that scores are measured with, and whether it also infers the labels."""
    if study.extractor is not None:
        return {"name": study.extractor.name, "sha256": study.extractor.sha256, "infers_labels": False}
    inferring = any(each.needs_inference or each.labels == "clusters" for each in study.methods)
    own_encoder = study.features is None and study.label_file is None
    return {"name": "pre-trained", "seed": study.seeds[0], "infers_labels": inferring and own_encoder}


def real_image_scores(study: Study) -> dict[str, Any] | None:
    """The scores of real images, as a reference; None if they cannot be measured.

    The Fréchet distance is that between training and held-out images, the class agreement that of held-out
    images. Scores in the last summary are reused if they were measured with the same protocol.
    """
    extractor, settings = scoring_setup(study)
    settings = dataclasses.replace(settings, images=max(2, min(len(study.dataset.train), REAL_IMAGES)))
    protocol: dict[str, Any] = {"extractor_sha256": extractor.sha256, "metrics": list(settings.metrics)}
    protocol |= {"images": settings.images, "seed": settings.seed}
    last = (last_summary(study.folder) or {}).get("real") or {}
    if protocol.items() <= last.items():
        return last
    dataset = study.dataset
    held_out = dataclasses.replace(
        dataset, train=dataset.test, class_names=dataset.test_classes, test_class_names=None
    )
    try:
        scores = protocol | real_scores(dataset, extractor, settings)
        if "class_agreement" in settings.metrics:  # the extractor may have memorised the training images
            agreement_only = dataclasses.replace(settings, metrics=("class_agreement",))
            scores |= {"class_agreement": real_scores(held_out, extractor, agreement_only)["class_agreement"]}
    except UserError as error:
        log.warning("real images have no scores: %s", error)
        return None
    return scores


def find_files(folder: Path, name: str) -> list[Path]:
    """All files with this name in a study folder, except those of a leak check."""
    return sorted(path for path in folder.rglob(name) if LEAK_CHECK not in path.relative_to(folder).parts)


def run_rows(folder: Path) -> list[dict[str, Any]]:
    """One row per run, ordered by method, number of labels and seed."""
    rows = []
    for path in find_files(folder, RESULT):
        row, run = read_json(path, kinds.RESULT), path.parent
        if not is_intact(row):
            raise UserError(f"{path}: has changed since it was written; delete it to score the GAN again")
        row.pop(SIGNATURE, None)
        if (known := find_method(row["method"])) is not None:
            chosen = known.from_few and row.get("fraction") != 1  # else there is no choice of labels
            row["label_set"] = label_set_id(run.parent) if chosen else None
            rows.append(row | {"folder": str(run.relative_to(folder))})
    return sorted(rows, key=lambda row: (rank(row["method"]), row["labels"], row["seed"]))


def label_set_id(folder: Path) -> str | None:
    """An id of the set of images with kept labels: eight hexadecimal digits of a hash; None if unknown."""
    kept = folder / KEPT
    if not kept.exists():
        return None
    return hashlib.sha256(plain_arrays(kept)["index"].astype("<i8").tobytes()).hexdigest()[:8]


def select_shown(study: Study, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Selects the runs whose images and curves the report shows: for each method that of the first seed and
    the median label budget."""
    few = sorted((row for row in rows if method(row["method"]).from_few), key=lambda row: row["labels"])
    budgets = list(dict.fromkeys(budget_key(row) for row in few))
    median = budgets[len(budgets) // 2] if budgets else None
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        if not method(row["method"]).from_few or budget_key(row) == median:
            first.setdefault(row["method"], row)
    chosen = [first[name] for name in sorted(first, key=rank)]
    labels = next((str(Path(r["folder"]).parent) for r in chosen if method(r["method"]).from_few), None)
    seed = min((row["seed"] for row in rows), default=study.seeds[0])
    folder = study.seed_folder(seed).relative_to(study.folder) if labels is None else Path(labels).parent
    return {"runs": chosen, "features": str(folder), "labels": labels}


def label_set_records(folder: Path) -> list[dict[str, Any]]:
    """The accuracy of inferred labels for each seed and label budget; None where unknown."""
    records = []
    for path in find_files(folder, QUALITY):
        if path.parent.name == CLUSTERS:
            continue
        quality, probe, kept = read_json(path, kinds.LABEL_QUALITY), path.parent / PROBE, path.parent / KEPT
        records.append(
            {
                "folder": str(path.parent.relative_to(folder)),
                "kept": len(plain_arrays(kept)["index"]) if kept.exists() else 0,
                "hidden_labels": quality.get("hidden_labels", 0),
                "accuracy": quality.get("accuracy"),
                "test_labels": quality.get("test_labels", 0),
                "test_accuracy": quality.get("test", {}).get("accuracy"),
                "never_inferred": [
                    name
                    for name, images in zip(
                        quality.get("class_names", ()), quality.get("balance", ()), strict=False
                    )
                    if not images
                ],
                "probe": read_json(probe, kinds.PROBE)["linear_accuracy"] if probe.exists() else None,
            }
        )
    return sorted(records, key=lambda row: (row["kept"], row["folder"]))


def cluster_records(folder: Path) -> list[dict[str, Any]]:
    """The agreement of the clusters of each seed with the classes, where these are known."""
    paths = [path for path in find_files(folder, QUALITY) if path.parent.name == CLUSTERS]
    return [
        {
            "folder": str(path.parent.relative_to(folder)),
            "clusters": len(quality.get("balance", ())),
            "purity": quality["purity"],
            "mutual_information": quality.get("mutual_information"),
        }
        for path in paths
        if "purity" in (quality := read_json(path, kinds.LABEL_QUALITY))
    ]


def results_table(summary: dict[str, Any]) -> str:
    """The results for a terminal: a table of means with intervals, then findings and notes."""
    heads = ("method", "labels", "images", "distance", "95%", "lowest-highest", "runs", "x all labels")
    rows: list[tuple[tables.Cell, ...]] = [(*heads, "agreement")]
    for line in summary["lines"]:
        distance, agreement = line["scores"]["frechet_distance"], line["scores"]["class_agreement"]
        agreement_text = f"{agreement['mean']:.1%}" if agreement else "-"
        mean = half = range_ = "-"
        if distance:
            mean = f"{distance['mean']:.3f}"
            half = f"± {distance['interval'][1] - distance['mean']:.3f}" if distance["interval"] else ""
            range_ = f"{distance['lowest']:.3f}-{distance['highest']:.3f}" if line["seeds"] > 1 else ""
        title, images = method(line["method"]).title, line.get("images") or summary["train_images"]
        cells = (title, line["labels"] or "-", images, mean, half, range_, line["seeds"], ratio_text(line))
        rows.append((*cells, agreement_text))
    if real := summary["real"]:
        distance, agreement = real.get("frechet_distance"), real.get("class_agreement")
        mean = "-" if distance is None else f"{distance:.3f}"
        agreement_text = "-" if agreement is None else f"{agreement:.1%}"
        rows.append(("Real training images", "", "", mean, "", "", "", "", agreement_text))
    output: list[str | tables.Table] = [tables.Table(rows)]
    reference = "held-out" if summary["data"]["held_out"] else "the training"
    output.append(
        f"distance: Fréchet distance to {reference} images, mean over label sets or runs; lower is better"
    )
    for sentence in [*accuracy_sentences(summary), *summary["findings"]]:
        output += tables.wrapped(sentence)
    for note in summary["notes"]:
        output += tables.wrapped(note, "* ")
    return tables.text(output)


def ratio_text(line: dict[str, Any]) -> str:
    """The ratio to all labels with its interval, such as `"0.95 (0.85-1.06)"`; empty without all labels."""
    found = line["ratios"].get(ALL_LABELS)
    if found is None:
        return ""
    if (interval := found.get("interval")) is None:
        return f"{found['ratio']:.2f}"
    low, high = interval
    return f"{found['ratio']:.2f} ({low:.2f}-{high:.2f})"


def accuracy_sentences(summary: dict[str, Any]) -> list[str]:
    """The accuracy of inferred labels, one sentence per number of kept labels."""
    by_kept: dict[int, list[dict[str, Any]]] = {}
    for labels in summary["labels"]:
        by_kept.setdefault(labels["kept"], []).append(labels)
    sentences = []
    for kept, sets in by_kept.items():
        start = f"{kept} of {summary['train_images']} training labels are used; accuracy of inferred labels"
        start = start if kept else "Labels come from a file; accuracy"
        accuracies = []
        for name, count, images in (
            ("accuracy", "hidden_labels", "hidden labels" if kept else "known labels"),
            ("test_accuracy", "test_labels", "labelled held-out images"),
        ):
            values = [record[name] for record in sets if record[name] is not None and record[count]]
            if values:
                accuracies.append(f"{statistics.fmean(values):.1%} on {sets[0][count]} {images}")
        sentences.append(f"{start}: {', '.join(accuracies) or 'unknown, no other image has a label'}.")
    return sentences

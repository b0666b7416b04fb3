"""Reads a study folder into plain values for the report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from compare_gan.core import records as kinds
from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, read_log, read_text
from compare_gan.core.run_files import (
    CONFIG,
    GRID_LAYOUT,
    INTERPOLATIONS,
    METRICS_LOG,
    NEIGHBOUR_SHEET,
    PRETRAIN_RUN,
    QUALITY,
    REAL_GRID,
    SAMPLES,
    SETTINGS,
    SUMMARY,
    TRUNCATION,
    UNCERTAIN_GRID,
)

T = TypeVar("T")
Record = Mapping[str, Any]
Log = tuple[Record, ...]

EVOLUTION_STEPS = 10  # maximum sample grids per run


@dataclass(frozen=True)
class Grid:
    """A grid of images without borders: `pixels` is uint8 RGBA [rows * height, columns * width, 4]."""

    pixels: np.ndarray
    rows: int
    columns: int
    tile: tuple[int, int]  # height, width


@dataclass(frozen=True)
class UncertainLabel:
    """An image whose inferred label is uncertain."""

    confidence: float
    inferred: int
    true: int  # -1: unknown


@dataclass(frozen=True)
class LabelAccuracy:
    """The accuracy of inferred labels on images with a known true label."""

    images: int
    accuracy: float | None
    confusion: np.ndarray  # [K, K] counts of true classes (rows) by inferred classes (columns)


@dataclass(frozen=True)
class LabelQuality:
    """The quality of inferred labels, on images whose label was not used for inference."""

    hidden: LabelAccuracy | None  # on training images with a hidden label; None: there are none
    test: LabelAccuracy | None  # on labelled held-out images
    balance: tuple[int, ...]  # number of inferred labels per class
    kept: tuple[int, ...]  # number of kept labels per class; empty: unknown
    true: tuple[int, ...]  # number of true labels per class; empty: some are unknown
    class_names: tuple[str, ...]
    least_certain: tuple[UncertainLabel, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """A run whose images and curves the page shows."""

    key: str  # the method
    record: Record  # method, labels kept, seed, scores
    metrics: Log
    samples: Mapping[int, Grid]  # by step, at most EVOLUTION_STEPS
    interpolation: Grid | None  # that of the last step
    neighbours: Grid | None  # one tile: generated images beside the nearest training images
    operative_config: str | None
    truncation: Record | None = None  # scores over the truncation of latent vectors


@dataclass(frozen=True)
class StudyReport:
    """The contents of the page."""

    summary: Record
    settings: Record
    lines: tuple[Record, ...]  # scores per method and label budget, over all seeds
    real_scores: Record  # of real images
    findings: tuple[str, ...]  # the main results, in sentences
    notes: tuple[str, ...]  # caveats on the scores
    data: Record  # counts of images and labels, and what was left out
    label_sets: tuple[Record, ...]  # accuracy of inferred labels, for each seed and budget
    clusters: tuple[Record, ...]  # agreement of clusters with classes, for each seed
    labels: LabelQuality | None  # of the label set that the shown runs were trained on
    uncertain_grid: Grid | None  # the images with the least certain inferred labels
    pretrain: Log
    real: Grid | None
    runs: tuple[RunReport, ...]


def collect_study(folder: Path) -> StudyReport:
    """Reads everything that the page shows; parts with missing files are None or empty.

    Raises:
      UserError: there is no valid summary.json, or an existing file cannot be read.
    """
    path = folder / SUMMARY
    if not path.is_file():
        raise UserError(
            f"{folder}: no {SUMMARY} here; pass a folder of compare-gan demo, few-labels or study"
        )
    summary = read_json(path, kinds.SUMMARY)
    shown = summary["shown"]
    features, labels = (folder / (shown.get(key) or ".") for key in ("features", "labels"))
    return StudyReport(
        summary=summary,
        settings=read_optional(folder / SETTINGS, lambda p: read_json(p, kinds.SETTINGS)) or {},
        lines=tuple(summary["lines"]),
        real_scores=summary.get("real") or {},
        findings=tuple(summary["findings"]),
        notes=tuple(summary["notes"]),
        data=summary.get("data") or {},
        label_sets=tuple(summary["labels"]),
        clusters=tuple(summary["clusters"]),
        labels=read_optional(labels / QUALITY, collect_labels),
        uncertain_grid=read_grid(labels / UNCERTAIN_GRID),
        pretrain=read_log(features / PRETRAIN_RUN / METRICS_LOG),
        real=read_grid(folder / REAL_GRID),
        runs=tuple(collect_run(folder, record) for record in shown["runs"]),
    )


def collect_run(study: Path, record: Record) -> RunReport:
    """Reads the run folder that a record of the summary refers to."""
    folder = study / record["folder"]
    samples = images_by_step(folder / SAMPLES)
    interpolations = images_by_step(folder / INTERPOLATIONS)
    return RunReport(
        key=record["method"],
        record=record,
        metrics=read_log(folder / METRICS_LOG),
        samples={
            step: grid
            for step in evenly_spaced(sorted(samples), EVOLUTION_STEPS)
            if (grid := read_grid(samples[step]))
        },
        interpolation=read_grid(interpolations[max(interpolations)]) if interpolations else None,
        neighbours=read_grid(folder / NEIGHBOUR_SHEET),
        operative_config=read_optional(folder / CONFIG, read_config),
        truncation=read_optional(folder / TRUNCATION, lambda path: read_json(path, kinds.TRUNCATION)),
    )


def read_optional(path: Path, read: Callable[[Path], T]) -> T | None:
    """`read(path)`; None if there is no such file."""
    return read(path) if path.is_file() else None


def read_config(path: Path) -> str:
    return read_text(path, errors="replace")


def collect_labels(path: Path) -> LabelQuality:
    """Reads `label_quality.json`.

    Raises:
      UserError: the file cannot be read, or its parts do not have the same classes.
    """
    quality = read_json(path, kinds.LABEL_QUALITY)
    try:
        balance, kept, true = (
            tuple(int(n) for n in quality.get(key) or ())
            for key in ("balance", "kept_balance", "true_balance")
        )
        classes = len(quality.get("confusion") or balance)
        names = tuple(str(name) for name in quality.get("class_names") or range(classes))
        if any(len(counts) != classes for counts in (names, balance, kept, true) if counts):
            raise ValueError(f"{len(names)} names, {len(balance)} counts for {classes} classes")
        uncertain = quality.get("least_certain") or {}
        columns = (uncertain.get(key) or () for key in ("confidence", "inferred", "true"))
        least_certain = tuple(
            UncertainLabel(float(c), int(i), int(t)) for c, i, t in zip(*columns, strict=True)
        )
        if any(max(x.inferred, x.true) >= classes or x.inferred < 0 for x in least_certain):
            raise ValueError("an uncertain image has an unknown class")
        hidden, test = label_accuracy(quality, classes), label_accuracy(quality.get("test") or {}, classes)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: inconsistent label counts ({error}); run the study again") from None
    return LabelQuality(hidden, test, balance, kept, true, names, least_certain)


def label_accuracy(quality: Record, classes: int) -> LabelAccuracy | None:
    """Accuracy and confusion matrix; None if no true label is known."""
    if quality.get("confusion") is None:
        return None
    confusion = np.array(quality["confusion"], np.int64).reshape(classes, classes)
    return LabelAccuracy(int(confusion.sum()), number(quality.get("accuracy")), confusion)


def images_by_step(folder: Path) -> dict[int, Path]:
    """PNG files whose name is a step, such as `000200.png`, by step; other files are ignored."""
    return {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdecimal()}


def read_grid(path: Path) -> Grid | None:
    """Reads an image grid and the layout file next to it; None if either is missing.

    Raises:
      UserError: the image is damaged, or does not match its layout.
    """
    layout_path = path.parent / GRID_LAYOUT
    if not (path.is_file() and layout_path.is_file()):
        return None
    layout = read_json(layout_path, kinds.GRID)
    rows, columns, (height, width) = layout["rows"], layout["columns"], layout["tile"]
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size != (columns * width, rows * height):  # before decoding
                raise UserError(
                    f"{path}: {image.width} x {image.height} pixels, but {layout_path.name} has "
                    f"{columns} x {rows} tiles of {width} x {height}; generate the images again"
                )
            pixels = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged image; delete it or run the study again") from None
    return Grid(pixels, rows, columns, (height, width))


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """At most `count` evenly spaced items, including the first and the last."""
    indices = np.linspace(0, len(items) - 1, min(count, len(items))).round()
    return [items[int(i)] for i in indices]


def number(value: Any) -> float | None:
    """`value` if it is a finite number, else None."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None


def curve(log: Log, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [N] and values [N] of one key, where it was recorded and finite."""
    points = [(record["step"], value) for record in log if (value := number(record.get(key))) is not None]
    steps, values = np.array(points, float).reshape(-1, 2).T
    return steps, values

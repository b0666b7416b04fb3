"""What a study folder holds, as plain values."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, read_log
from compare_gan.core.run_files import (
    CONFIG,
    GRID_LAYOUT,
    INTERPOLATIONS,
    METRICS_LOG,
    PRETRAIN_RUN,
    QUALITY,
    REAL_GRID,
    SAMPLES,
    SETTINGS,
    SUMMARY,
    UNCERTAIN_GRID,
)

T = TypeVar("T")
Record = Mapping[str, Any]
Log = tuple[Record, ...]

EVOLUTION_STEPS = 10


@dataclass(frozen=True)
class Grid:
    """Images butted together without borders: `pixels` is uint8 [rows * height, columns * width, 4]."""

    pixels: np.ndarray
    rows: int
    columns: int
    tile: tuple[int, int]  # height, width


@dataclass(frozen=True)
class Doubt:
    """An image whose inferred label is uncertain."""

    confidence: float
    inferred: int
    true: int  # -1: unknown


@dataclass(frozen=True)
class Checked:
    """Inferred labels of some images whose true label is known."""

    images: int
    accuracy: float | None
    confusion: np.ndarray  # [K, K] counts of true classes (rows) by inferred ones


@dataclass(frozen=True)
class LabelQuality:
    """How good the inferred labels are, on images whose label they were not inferred from."""

    hidden: Checked | None  # training images whose label was hidden; None: there are none
    test: Checked | None  # labelled held-out images
    balance: tuple[int, ...]  # inferred labels of each class
    kept: tuple[int, ...]  # kept labels of each class; empty: not known
    true: tuple[int, ...]  # true labels of each class; empty: not all are known
    class_names: tuple[str, ...]
    least_certain: tuple[Doubt, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """A GAN whose pictures and curves are shown."""

    key: str  # the method
    record: Record  # method, labels kept, seed, scores
    metrics: Log
    samples: Mapping[int, Grid]  # by step, some ten of them
    interpolation: Grid | None  # the last one
    operative_config: str | None


@dataclass(frozen=True)
class StudyReport:
    """What the page shows of a study."""

    summary: Record
    settings: Record
    lines: tuple[Record, ...]  # scores of a method with a label budget, over all seeds
    real_scores: Record  # of real images
    findings: tuple[str, ...]  # what the scores show, in sentences
    notes: tuple[str, ...]  # what to know about them
    data: Record  # how many images and labels there are, and what was left out
    label_sets: tuple[Record, ...]  # accuracy of inferred labels, for each seed and budget
    clusters: tuple[Record, ...]  # how well clusters agree with classes, for each seed
    labels: LabelQuality | None  # of the set that the runs shown were trained on
    doubtful: Grid | None  # its images whose label is least certain
    pretrain: Log
    real: Grid | None
    runs: tuple[RunReport, ...]


def collect_study(folder: Path) -> StudyReport:
    """Everything the page needs; a part whose files are missing is None or empty.

    Raises:
      UserError: there is no usable summary.json, or a file that is there cannot be read.
    """
    path = folder / SUMMARY
    if not path.is_file():
        raise UserError(
            f"{folder}: no {SUMMARY} here; give a folder made by compare-gan demo, few-labels or study"
        )
    summary = read_object(path)
    shown = summary.get("shown")
    if not isinstance(shown, dict):
        raise UserError(f'{path}: needs "shown", the folders that the page is about; do the study again')
    features, labels = (folder / str(shown.get(key) or ".") for key in ("features", "labels"))
    return StudyReport(
        summary=summary,
        settings=optional(folder / SETTINGS, read_object) or {},
        lines=records(summary, path, "lines"),
        real_scores=record(summary, "real"),
        findings=sentences(summary, path, "findings"),
        notes=sentences(summary, path, "notes"),
        data=record(summary, "data"),
        label_sets=records(summary, path, "labels"),
        clusters=records(summary, path, "clusters"),
        labels=optional(labels / QUALITY, collect_labels),
        doubtful=read_grid(labels / UNCERTAIN_GRID),
        pretrain=read_log(features / PRETRAIN_RUN / METRICS_LOG),
        real=read_grid(folder / REAL_GRID),
        runs=tuple(collect_run(folder, record) for record in records(shown, path, "runs")),
    )


def collect_run(study: Path, record: Record) -> RunReport:
    folder = study / str(record.get("folder", ""))
    samples = images_by_step(folder / SAMPLES)
    interpolations = images_by_step(folder / INTERPOLATIONS)
    return RunReport(
        key=str(record.get("method")),
        record=record,
        metrics=read_log(folder / METRICS_LOG),
        samples={
            step: grid
            for step in evenly(sorted(samples), EVOLUTION_STEPS)
            if (grid := read_grid(samples[step]))
        },
        interpolation=read_grid(interpolations[max(interpolations)]) if interpolations else None,
        operative_config=optional(folder / CONFIG, lambda p: p.read_text("utf-8", errors="replace")),
    )


def records(summary: Record, path: Path, key: str) -> tuple[Record, ...]:
    """A list of objects of the summary."""
    found = summary.get(key)
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise UserError(f'{path}: needs "{key}", a list of objects; do the study again')
    return tuple(found)


def record(summary: Record, key: str) -> Record:
    """An object of the summary; empty where there is none."""
    found = summary.get(key)
    return found if isinstance(found, dict) else {}


def sentences(summary: Record, path: Path, key: str) -> tuple[str, ...]:
    found = summary.get(key)
    if not isinstance(found, list):
        raise UserError(f'{path}: needs "{key}", a list of sentences; run the study\'s command again')
    return tuple(map(str, found))


def optional(path: Path, read: Callable[[Path], T]) -> T | None:
    return read(path) if path.is_file() else None


def read_object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object; run the study again")
    return value


def collect_labels(path: Path) -> LabelQuality:
    quality = read_object(path)
    try:
        balance, kept, true = (
            tuple(int(n) for n in quality.get(key) or ())
            for key in ("balance", "kept_balance", "true_balance")
        )
        classes = len(quality.get("confusion") or balance)
        names = tuple(str(name) for name in quality.get("class_names") or range(classes))
        if any(len(each) != classes for each in (names, balance, kept, true) if each):
            raise ValueError(f"{len(names)} names, {len(balance)} counts for {classes} classes")
        least = quality.get("least_certain") or {}
        columns = (least.get(key) or () for key in ("confidence", "inferred", "true"))
        doubts = tuple(Doubt(float(c), int(i), int(t)) for c, i, t in zip(*columns, strict=True))
        if any(max(doubt.inferred, doubt.true) >= classes or doubt.inferred < 0 for doubt in doubts):
            raise ValueError("an uncertain image of an unknown class")
        hidden, test = checked(quality, classes), checked(quality.get("test") or {}, classes)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: the label counts do not fit together ({error}); run the study again"
        ) from None
    return LabelQuality(hidden, test, balance, kept, true, names, doubts)


def checked(quality: Record, classes: int) -> Checked | None:
    """Accuracy and confusion of some images; None where no true label is known."""
    if quality.get("confusion") is None:
        return None
    confusion = np.array(quality["confusion"], np.int64).reshape(classes, classes)
    return Checked(int(confusion.sum()), number(quality.get("accuracy")), confusion)


def images_by_step(folder: Path) -> dict[int, Path]:
    """`000200.png` and the like; other names are not ours."""
    return {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdecimal()}


def read_grid(path: Path) -> Grid | None:
    """An image grid and its layout, which is beside it; None where either is missing."""
    layout_path = path.parent / GRID_LAYOUT
    if not (path.is_file() and layout_path.is_file()):
        return None
    layout = read_json(layout_path)
    try:
        rows, columns, (height, width) = int(layout["rows"]), int(layout["columns"]), map(int, layout["tile"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f'{layout_path}: needs "rows", "columns" and "tile": [height, width]') from None
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGBA"))
    except OSError:
        raise UserError(f"{path}: not an image that can be read; remove it or make it again") from None
    if pixels.shape[:2] != (rows * height, columns * width) or not pixels.size:
        raise UserError(
            f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels, but {layout_path.name} says "
            f"{columns} x {rows} tiles of {width} x {height}; make the images again"
        )
    return Grid(pixels, rows, columns, (height, width))


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items, evenly spaced, with the first and the last."""
    indices = np.linspace(0, len(items) - 1, min(count, len(items))).round()
    return [items[int(i)] for i in indices]


def number(value: Any) -> float | None:
    """A finite number, or None for all else that a JSON file may hold there."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None


def curve(log: Log, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one key, where it was recorded and finite."""
    points = [(record["step"], value) for record in log if (value := number(record.get(key))) is not None]
    steps, values = np.array(points, float).reshape(-1, 2).T
    return steps, values

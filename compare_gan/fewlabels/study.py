"""The whole few-labels job on one data set: infer labels, train GANs, score them.

A study folder holds settings.json, the label files (see `stages.py`), one run folder a method,
and summary.json. Whatever is there already is not computed again.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.core.files import read_json, run_folder, write_json
from compare_gan.core.pictures import write_grid
from compare_gan.core.types import ImageSpec
from compare_gan.data.base import ImageDataset
from compare_gan.data.labels import choose_kept
from compare_gan.evaluation.evaluate import EvalSettings, evaluate, write_scores
from compare_gan.features.encoder import TrainedEncoder
from compare_gan.fewlabels.quality import write_quality
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import pretrain
from compare_gan.fewlabels.stages import infer_labels, keep_labels
from compare_gan.gans.modular import GAN
from compare_gan.train.gan import describe_run, train
from compare_gan.train.loop import Schedule

SETTINGS, SUMMARY = "settings.json", "summary.json"
Labels = Literal["true", "inferred", "none"]


@dataclasses.dataclass(frozen=True)
class Method:
    """A GAN to train, and which labels it gets."""

    name: str
    labels: Labels
    make_gan: Callable[[ImageSpec], GAN]
    config: str  # its operative configuration


@dataclasses.dataclass(frozen=True)
class Study:
    """What is done.

    Raises:
      UserError: the label fraction, the seed or the data set do not fit.
    """

    dataset: ImageDataset
    methods: tuple[Method, ...]
    label_fraction: float
    seed: int
    recipe: LabelRecipe
    schedule: Schedule
    evaluation: EvalSettings
    extractor: TrainedEncoder | None  # what scores are measured with; None: the pre-trained encoder
    settings: dict[str, Any]  # what the user chose, to be kept and shown

    def __post_init__(self):
        choose_kept(self.dataset.train.labels, self.label_fraction, self.seed)  # before anything is written

    @property
    def origin(self) -> dict[str, Any]:
        return {name: self.settings[name] for name in ("data", "reading", "seed")}


def run_study(study: Study, folder: Path) -> dict[str, Any]:
    """Does what of a study is not done yet, and returns its summary.

    Raises:
      UserError: something the user gave does not fit.
      Interrupted: Ctrl-C or SIGTERM; what was computed is kept.
    """
    # Before anything is written, so that what does not fit is told at once.
    gans = {method.name: method.make_gan(study.dataset.spec) for method in study.methods}
    run_folder(folder)
    for method in study.methods:
        describe_run(folder / method.name, study.dataset, method.config, study.origin)
    write_json(folder / SETTINGS, study.settings)
    seconds = Stopwatch(folder / "seconds.json")
    full, seed = study.dataset, study.seed
    few = keep_labels(full, study.label_fraction, seed, folder)
    with seconds("pretrain"):
        encoder = pretrain(few, study.recipe, seed, folder)
    with seconds("label"):
        inferred = infer_labels(few, encoder, study.recipe, seed, folder)
    quality = write_quality(full, inferred, folder)
    show_real(full, folder)

    by_kind = {"true": full, "inferred": inferred.hard, "none": few}
    extractor, evaluation = study.extractor or encoder, study.evaluation
    if study.extractor is None:  # the pre-trained encoder knows no classes
        evaluation = dataclasses.replace(evaluation, metrics=("frechet_distance",))
    methods = {}
    for method in study.methods:
        gan, run_dir = gans[method.name], folder / method.name
        with seconds(method.name):
            split = by_kind[method.labels].train
            state = train(gan, split, run_dir=run_dir, schedule=study.schedule, seed=seed)
        with seconds("evaluate"):
            scores = evaluate(gan, state, full, extractor, evaluation)
        write_scores(run_dir, scores)
        methods[method.name] = {name: scores.get(name) for name in study.evaluation.metrics} | {
            "steps": scores["step"],
            "seconds": seconds.spent[method.name],
        }
    summary = {
        "methods": methods,
        "label_accuracy": quality["accuracy"],
        "label_fraction": study.label_fraction,
        "labels_kept": int((few.train.labels >= 0).sum()),
        "seed": seed,
        "seconds": seconds.spent,
        "train_images": len(full.train),
        "test_images": len(full.test),
        "extractor": {"name": extractor.name, "sha256": extractor.sha256},
        "versions": {"compare_gan": __version__, "jax": jax.__version__, "numpy": np.__version__},
    }
    write_json(folder / SUMMARY, summary)
    return summary


class Stopwatch:
    """Seconds by stage, kept in a file, so that an interrupted stage goes on counting."""

    def __init__(self, path: Path):
        self.path = path
        self.spent: dict[str, float] = read_json(path) if path.exists() else {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[stage] = round(self.spent.get(stage, 0.0) + time.monotonic() - began, 2)
            write_json(self.path, self.spent)


def show_real(dataset: ImageDataset, folder: Path, columns: int = 10) -> None:
    """A picture of held-out images, one row a class."""
    labels = dataset.test.labels
    classes = [np.flatnonzero(labels == k) for k in range(min(len(dataset.class_names), 10))]
    rows = [np.resize(members, columns) for members in classes if len(members)]
    if rows:
        images = dataset.test.images[np.concatenate(rows)]
        write_grid(folder / "real" / "real.png", images, len(rows), columns)

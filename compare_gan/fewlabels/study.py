"""Methods x label budgets x seeds on one data set: infer labels, train GANs, score them.

A study folder holds, besides settings and results:

  seed-0/                        what a seed decides: the pre-trained encoder
  seed-0/clusters/               labels by clusters of its features
  seed-0/<method>/               runs of methods to which the kept labels make no difference
  seed-0/fraction-0.1/           the kept labels and what was inferred from them, see `stages.py`
  seed-0/fraction-0.1/<method>/  runs of the other methods

With one seed and one budget (`few-labels`) all but the clusters lies in the study folder itself. Whatever
is there already is not computed again.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_json, run_folder, write_json
from compare_gan.core.label_methods import Method
from compare_gan.core.pictures import write_grid
from compare_gan.core.run_files import CLUSTERS, FEATURES, QUALITY, RESULT, SECONDS, UNCERTAIN_GRID
from compare_gan.core.types import GANState, ImageSpec
from compare_gan.data.base import UNLABELLED, ImageDataset, hard_labels
from compare_gan.data.labels import at_random, from_file, single
from compare_gan.evaluation.evaluate import EvalSettings, evaluate, write_scores
from compare_gan.features.base import Extractor
from compare_gan.features.encoder import TrainedEncoder
from compare_gan.fewlabels.budget import Budget, choose, columns, folder_of, told
from compare_gan.fewlabels.inferred import Inferred
from compare_gan.fewlabels.overview import NEED_LABELS, overview
from compare_gan.fewlabels.probe import write_probe
from compare_gan.fewlabels.quality import label_quality, write_quality
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features, extract, pretrain
from compare_gan.fewlabels.stages import infer_labels, keep_labels, warn_of_empty_classes
from compare_gan.gans.modular import GAN
from compare_gan.train.gan import train
from compare_gan.train.loop import Schedule
from compare_gan.train.run_dir import describe_run

UNCERTAIN = 20  # images whose label is least certain, to be shown


@dataclasses.dataclass(frozen=True)
class Configured:
    """A GAN but for the images, and its operative configuration."""

    gan: Callable[[ImageSpec], GAN]
    text: str
    random_flip: bool = False  # mirror training images left to right half of the time


@dataclasses.dataclass(frozen=True)
class Task:
    """One thing to do: features, labels, clusters, or a GAN to train and score."""

    kind: Literal["features", "labels", "clusters", "gan"]
    seed: int
    budget: Budget | None = None
    method: Method | None = None

    @property
    def name(self) -> str:
        what = self.kind if self.method is None else self.method.name
        return f"{what}, {'' if self.budget is None else f'{told(self.budget)}, '}seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Study:
    """What is done, and where.

    Raises:
      UserError: a label budget, a seed, the data set or a file does not fit.
    """

    folder: Path
    dataset: ImageDataset
    methods: tuple[Method, ...]
    budgets: tuple[Budget, ...]
    seeds: tuple[int, ...]
    configured: Mapping[str, Configured]  # by the recipe of a method
    recipe: LabelRecipe
    schedule: Schedule
    evaluation: EvalSettings
    extractor: Extractor | None  # what scores are measured with; None: the first seed's encoder
    settings: dict[str, Any]  # what the user chose, to be kept and shown
    features: Features | None = None  # in place of what the encoder makes of the images
    label_file: Path | None = None  # in place of inferred labels
    flat: bool = False  # everything in one folder; for one seed and one budget

    def __post_init__(self):
        there = overview(self.dataset)
        if not there.labelled and any(method.labels in NEED_LABELS for method in self.methods):
            raise UserError(
                f"{self.dataset.name}: no training image has a label to learn from; give --labels FILE"
            )
        for method in self.methods:  # before anything is written
            self.gan(method)
            if method.labels == "true" and there.partly:
                missing = there.train_images - there.labelled
                raise UserError(
                    f"{method.name} needs a label for every training image; {missing:,} have none"
                )
        if any(method.from_few for method in self.methods):
            if self.dataset.train.labels.ndim == 2:
                raise UserError(
                    f"{self.dataset.name}: has probabilities as labels, but inference starts from one class "
                    "an image; --label_file takes probabilities of all images, for the method s3gan_soft"
                )
            if there.classes < 2 and any(method.labels in ("inferred", "soft") for method in self.methods):
                raise UserError(f"{self.dataset.name}: all labels are of one class; a classifier needs two")
            for seed in self.seeds:
                for budget in self.budgets:
                    choose(self.dataset.train.labels, budget, seed)
        clusters, count = self.recipe.clusters, there.train_images
        if clusters > count and any(method.labels == "clusters" for method in self.methods):
            raise UserError(
                f"{self.dataset.name}: {clusters} clusters of {count} images; give fewer --clusters"
            )
        if self.features is not None and self.recipe.classifier == "s4l":
            raise UserError(f"{self.features.name}: s4l trains an encoder; features go with linear")
        if self.label_file is not None:
            given = from_file(self.dataset, self.label_file).train.labels
            if given.ndim == 1 and any(method.labels == "soft" for method in self.methods):
                raise UserError(f"{self.label_file}: holds classes; soft labels need probabilities")

    def gan(self, method: Method) -> GAN:
        """The GAN of a method. Equal ones are equal in Python, too, and share their compiled programs."""
        count = {"single": 1, "clusters": self.recipe.clusters}.get(
            method.labels, self.dataset.spec.num_classes
        )
        return self.configured[method.recipe].gan(ImageSpec(self.dataset.spec.image_shape, count))

    def seed_folder(self, seed: int) -> Path:
        return self.folder if self.flat else self.folder / f"seed-{seed}"

    def place(self, task: Task) -> Path:
        """The folder of a task."""
        seed = self.seed_folder(task.seed)
        labels = seed if task.budget is None or self.flat else seed / folder_of(task.budget)
        if task.kind == "clusters":
            return seed / CLUSTERS
        return labels if task.method is None else labels / task.method.name


def tasks(study: Study) -> list[list[Task]]:
    """All that there is to do, in waves: a task needs none of its own wave, only earlier ones."""
    wanted = {method.labels for method in study.methods}
    inferring, clustering = bool(wanted & {"inferred", "soft"}), "clusters" in wanted
    learning = study.features is None and (clustering or inferring and study.label_file is None)
    features = [
        Task("features", seed)
        for i, seed in enumerate(study.seeds)
        if learning or (i == 0 and study.extractor is None)
    ]
    labels = [Task("clusters", seed) for seed in study.seeds if clustering]
    if inferring:
        labels += [Task("labels", seed, budget) for seed in study.seeds for budget in study.budgets]
    gans = [
        Task("gan", seed, budget, method)
        for seed in study.seeds
        for method in study.methods
        for budget in (study.budgets if method.from_few else (None,))
    ]
    return [features, labels, gans]


def done(study: Study, task: Task) -> bool:
    """Whether a task has left what it was to leave."""
    last = {"features": FEATURES, "labels": QUALITY, "clusters": QUALITY, "gan": RESULT}
    return (study.place(task) / last[task.kind]).exists()


def perform(study: Study, task: Task) -> dict[str, Any]:
    """Does a task, or goes on with it; of a GAN returns the result.

    Raises:
      UserError: something the user gave does not fit.
      Interrupted: Ctrl-C or SIGTERM; what was computed is kept.
    """
    run_folder(study.place(task))
    if task.kind == "gan":
        return train_and_score(study, task)
    with stopwatch(study.place(task), task.kind):
        prepare(study, task)
        if task.kind == "labels":
            tell_quality(study, task)
        elif task.kind == "clusters":
            write_quality(study.dataset, clusters(study, task.seed), study.place(task))
    return {}


def prepare(study: Study, task: Task) -> None:
    """What GANs learn from, as files: all of a task that is no GAN but what is told of it."""
    if task.kind == "features":
        features(study, task.seed)
    elif task.kind == "clusters":
        clusters(study, task.seed)
    else:
        assert task.budget is not None
        inferred(study, task.seed, task.budget)


def tell_quality(study: Study, task: Task) -> None:
    """How right the inferred labels are, and how much the features tell. For people only."""
    assert task.budget is not None
    folder = study.place(task)
    if study.label_file is None:
        seen = features(study, task.seed)
        known = few(study, task.seed, task.budget).train.labels
        several = len(np.unique(known[known != UNLABELLED])) > 1
        testable = several and overview(study.dataset).held_out_labelled
        if seen.test is not None and testable:
            write_probe(few(study, task.seed, task.budget), seen, folder)
    kept = few(study, task.seed, task.budget) if study.label_file is None else None
    quality = label_quality(study.dataset, inferred(study, task.seed, task.budget), kept)
    if worst := quality.get("least_certain", {}).get("index", [])[:UNCERTAIN]:
        images = study.dataset.train.images[np.array(worst)]
        write_grid(folder / UNCERTAIN_GRID, images, 1, len(worst))
    write_json(folder / QUALITY, quality)  # last: that it is there says that all is done


def trained(study: Study, task: Task) -> GANState:
    """The GAN of a task after its last step, trained as far as it is not yet."""
    method, run_dir = task.method, study.place(task)
    assert method is not None
    dataset = labelled(study, task)
    origin = {"data": study.settings["data"], "reading": study.settings["reading"], "seed": task.seed}
    origin |= {"method": method.name} | columns(task.budget)
    describe_run(run_dir, dataset, study.configured[method.recipe].text, origin)
    with stopwatch(run_dir, "train"):
        return train(
            study.gan(method),
            dataset.train,
            run_dir=run_dir,
            schedule=study.schedule,
            seed=task.seed,
            random_flip=study.configured[method.recipe].random_flip,
        )


def train_and_score(study: Study, task: Task) -> dict[str, Any]:
    """Trains the GAN of a task and scores it; what came of it is in `result.json`, too."""
    method, run_dir = task.method, study.place(task)
    assert method is not None
    state = trained(study, task)
    extractor, evaluation = scoring(study)
    with stopwatch(run_dir, "evaluate"):
        scores = evaluate(study.gan(method), state, labelled(study, task), extractor, evaluation)
    write_scores(run_dir, scores)
    result = {"method": method.name, **columns(task.budget), "seed": task.seed}
    result |= {"labels": true_labels(study, task), "steps": scores["step"]}
    result |= {name: scores.get(name) for name in study.evaluation.metrics}
    result["seconds"] = read_json(run_dir / SECONDS)["train"]
    write_json(run_dir / RESULT, result)
    return result


def scoring(study: Study) -> tuple[Extractor, EvalSettings]:
    """What scores are measured with, and how: the extractor, or else the first seed's encoder."""
    if study.extractor is not None:
        return study.extractor, study.evaluation
    metrics = tuple(name for name in study.evaluation.metrics if name != "class_agreement")
    return encoder(study, study.seeds[0]), dataclasses.replace(study.evaluation, metrics=metrics)


def labelled(study: Study, task: Task) -> ImageDataset:
    """The data set as the GAN of a task sees it."""
    method, dataset, count = task.method, study.dataset, len(study.dataset.train)
    assert method is not None
    match method.labels:
        case "true":
            return dataset
        case "none":
            return dataset.with_labels(np.full(count, UNLABELLED, np.int32))
        case "single":
            return single(dataset)
        case "random":
            return at_random(dataset, task.seed)
        case "clusters":
            return clusters(study, task.seed).hard
    assert task.budget is not None
    if method.labels == "few":
        return few(study, task.seed, task.budget)
    made = inferred(study, task.seed, task.budget)
    if method.labels == "inferred":
        return made.hard
    assert made.soft is not None
    return made.soft


def true_labels(study: Study, task: Task) -> int:
    """How many true labels the method of a task has made use of."""
    assert task.method is not None
    if task.budget is not None:
        if study.label_file is not None and task.method.labels != "few":
            return 0  # whoever inferred them knows
        return int((few(study, task.seed, task.budget).train.labels != UNLABELLED).sum())
    return int((study.dataset.train.labels != UNLABELLED).sum()) if task.method.labels == "true" else 0


def encoder(study: Study, seed: int) -> TrainedEncoder:
    """The pre-trained encoder of a seed, made if need be."""
    return pretrain(study.dataset, study.recipe, seed, run_folder(study.seed_folder(seed)))


def features(study: Study, seed: int) -> Features:
    """The features of all images: somebody else's, or those of the seed's encoder."""
    if study.features is not None:
        return study.features
    return extract(study.dataset, encoder(study, seed), study.seed_folder(seed))


def few(study: Study, seed: int, budget: Budget) -> ImageDataset:
    """The data set with the kept labels, chosen if need be."""
    return keep_labels(study.dataset, budget, seed, run_folder(study.place(Task("labels", seed, budget))))


def inferred(study: Study, seed: int, budget: Budget) -> Inferred:
    """The data set under labels inferred from the kept ones, made if need be; or under those of a file."""
    if study.label_file is not None:
        given = from_file(study.dataset, study.label_file)
        hard = given.with_labels(hard_labels(given.train))
        warn_of_empty_classes(hard, f"{study.label_file}: labels no image as")
        return Inferred(hard, given if given.train.labels.ndim == 2 else None, None)
    source = encoder(study, seed) if study.recipe.classifier == "s4l" else features(study, seed)
    folder = study.place(Task("labels", seed, budget))
    return infer_labels(few(study, seed, budget), source, study.recipe, seed, folder)


def clusters(study: Study, seed: int) -> Inferred:
    """The data set under clusters of the features, made if need be. No label is read."""
    recipe = dataclasses.replace(study.recipe, classifier="clusters")
    unlabelled = study.dataset.with_labels(np.full(len(study.dataset.train), UNLABELLED, np.int32))
    folder = run_folder(study.place(Task("clusters", seed)))
    return infer_labels(unlabelled, features(study, seed), recipe, seed, folder)


@contextlib.contextmanager
def stopwatch(folder: Path, stage: str) -> Iterator[None]:
    """Adds what a stage took to the folder's `seconds.json`; an interrupted stage goes on counting."""
    began = time.monotonic()
    try:
        yield
    finally:
        spent = read_json(folder / SECONDS) if (folder / SECONDS).exists() else {}
        spent[stage] = round(spent.get(stage, 0.0) + time.monotonic() - began, 2)
        write_json(folder / SECONDS, spent)


def all_done(study: Study) -> bool:
    """Whether nothing is left to do."""
    return all(done(study, task) for wave in tasks(study) for task in wave)

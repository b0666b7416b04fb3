"""What a study consists of: methods x label budgets x seeds on one data set.

A study folder holds, besides settings and results:

  seed-0/                        what a seed decides: the pre-trained encoder
  seed-0/clusters/               labels by clusters of its features
  seed-0/<method>/               runs of methods to which the kept labels make no difference
  seed-0/fraction-0.1/           the kept labels and what was inferred from them, see `stages.py`
  seed-0/fraction-0.1/<method>/  runs of the other methods

With one seed and one budget (`few-labels`) everything but the clusters is in the study folder itself.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import Method
from compare_gan.core.run_files import CLUSTERS
from compare_gan.core.types import ImageSpec
from compare_gan.data.base import ImageDataset
from compare_gan.data.labels import from_file
from compare_gan.evaluation.evaluate import EvalSettings
from compare_gan.features.base import Extractor
from compare_gan.fewlabels.budget import Budget, choose, describe_budget, folder_of
from compare_gan.fewlabels.overview import NEED_LABELS, overview
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features
from compare_gan.gans.gan import GAN
from compare_gan.train.schedule import TrainSchedule


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
        return f"{what}, {'' if self.budget is None else f'{describe_budget(self.budget)}, '}seed {self.seed}"


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
    schedule: TrainSchedule
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
        """The folder of a seed."""
        return self.folder if self.flat else self.folder / f"seed-{seed}"

    def labels_folder(self, seed: int, budget: Budget | None) -> Path:
        """The folder of a seed and a label budget; that of the seed where the budget does not matter."""
        folder = self.seed_folder(seed)
        return folder if budget is None or self.flat else folder / folder_of(budget)

    def task_dir(self, task: Task) -> Path:
        """The folder of a task."""
        if task.kind == "clusters":
            return self.seed_folder(task.seed) / CLUSTERS
        labels = self.labels_folder(task.seed, task.budget)
        return labels if task.method is None else labels / task.method.name

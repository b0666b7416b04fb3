"""A study: methods x label budgets x seeds on one data set.

Besides settings and results, a study folder holds:

  seed-0/                        files that depend on the seed only: the pre-trained encoder
  seed-0/clusters/               labels from clusters of its features
  seed-0/<method>/               runs of methods that do not depend on the kept labels
  seed-0/fraction-0.1/           the kept labels and the labels inferred from them, see `stages.py`
  seed-0/fraction-0.1/<method>/  runs of the other methods

A label set is what a seed selects and infers: the label files of a `fraction-` folder. By default the GAN of
seed 0 trains on label set 0, and so on. If label sets are chosen apart from seeds, each is combined with each
seed: `seed-0/fraction-0.1/<method>-seed-1/` is the GAN of seed 1 on label set 0.

With one seed and one budget (`few-labels`), everything except the clusters is in the study folder itself.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compare_gan.core.augmentation import refuse_mirror
from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import Method
from compare_gan.core.run_files import CLUSTERS
from compare_gan.core.types import ImageSpec
from compare_gan.data.base import ImageDataset
from compare_gan.data.labels import from_file
from compare_gan.evaluation.evaluate import EvalSettings
from compare_gan.features.base import Extractor
from compare_gan.fewlabels.budget import Budget, budget_folder_name, choose, describe_budget
from compare_gan.fewlabels.overview import NEED_LABELS, overview
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features
from compare_gan.gans.gan import GAN
from compare_gan.training.schedule import TrainSchedule


@dataclasses.dataclass(frozen=True)
class ConfiguredGAN:
    """A configured GAN whose image shape and number of classes are still open."""

    gan: Callable[[ImageSpec], GAN]
    operative_config: str  # in gin syntax
    random_flip: bool = False  # mirror training images left to right with probability 1/2


@dataclasses.dataclass(frozen=True)
class Task:
    """A unit of work: compute features, labels or clusters, or train and score a GAN."""

    kind: Literal["features", "labels", "clusters", "gan"]
    seed: int
    budget: Budget | None = None
    method: Method | None = None
    label_set: int | None = None  # that a GAN trains on; None: that of its seed, or none

    @property
    def name(self) -> str:
        """For messages, such as "s3gan, 10% of the labels, seed 0"."""
        parts = [self.kind if self.method is None else self.method.name]
        parts += [] if self.budget is None else [describe_budget(self.budget)]
        parts += [] if self.label_set is None else [f"label set {self.label_set}"]
        return ", ".join([*parts, f"seed {self.seed}"])

    @property
    def label_seed(self) -> int:
        """The seed of the label files that the task reads or writes."""
        return self.seed if self.label_set is None else self.label_set

    @property
    def gan_seed(self) -> int:
        """The seed of the GAN's random numbers.

        It is another one on each label set: otherwise a good seed would be good on all of them, and intervals
        over label sets would not cover the choice of seeds.
        """
        if self.label_seed == self.seed:
            return self.seed
        return int(np.random.SeedSequence((self.seed, self.label_seed)).generate_state(1)[0])


@dataclasses.dataclass(frozen=True)
class Study:
    """The configuration of a study.

    Raises:
      UserError: a method, a label budget or a file does not match the data set.
    """

    folder: Path
    dataset: ImageDataset
    methods: tuple[Method, ...]
    budgets: tuple[Budget, ...]
    seeds: tuple[int, ...]  # of GANs, and of label sets unless these are given
    configured: Mapping[tuple[str, ...], ConfiguredGAN]  # by `Method.recipes`
    recipe: LabelRecipe
    schedule: TrainSchedule
    evaluation: EvalSettings
    extractor: Extractor | None  # what scores are measured with; None: the first seed's encoder
    settings: dict[str, Any]  # the user's choices, written to settings.json
    features: Features | None = None  # the user's features, in place of those of the encoder
    label_file: Path | None = None  # the user's labels, in place of inferred ones
    flat: bool = False  # all files in one folder; for one seed and one budget
    label_sets: tuple[int, ...] = ()  # each is combined with each seed; empty: a seed is its own label set

    def __post_init__(self):
        counts = overview(self.dataset)
        if not counts.labelled and any(method.labels in NEED_LABELS for method in self.methods):
            raise UserError(
                f"{self.dataset.name}: no training image has a label to learn from; pass --labels FILE"
            )
        for method in self.methods:  # fail before anything is written
            self.gan(method)
            if method.needs_every_label and counts.partly_labelled:
                missing = counts.train_images - counts.labelled
                raise UserError(
                    f"{method.name} needs a label for every training image; {missing:,} have none"
                )
        if any(method.from_few for method in self.methods):
            if self.dataset.train.labels.ndim == 2:
                raise UserError(
                    f"{self.dataset.name}: has probabilities as labels, but label inference needs one class "
                    "per image; pass probabilities of all images as --label_file, for the method s3gan_soft"
                )
            if counts.classes < 2 and any(method.needs_inference for method in self.methods):
                raise UserError(f"{self.dataset.name}: all labels are of one class; a classifier needs two")
            for seed in self.label_seeds:
                for budget in self.budgets:
                    choose(self.dataset.train.labels, budget, seed)
        clusters, num_images = self.recipe.clusters, counts.train_images
        if clusters > num_images and any(method.labels == "clusters" for method in self.methods):
            raise UserError(
                f"{self.dataset.name}: {clusters} clusters of {num_images} images; choose fewer --clusters"
            )
        if self.features is not None and self.recipe.fine_tunes:
            raise UserError(
                f"{self.features.name}: {self.recipe.classifier} trains an encoder; use features with linear"
            )
        if self.label_file is not None:
            labels = from_file(self.dataset, self.label_file).train.labels
            if labels.ndim == 1 and any(method.labels == "soft" for method in self.methods):
                raise UserError(f"{self.label_file}: contains classes, but soft labels need probabilities")

    def gan(self, method: Method) -> GAN:
        """The GAN of a method. GANs of the same configuration compare equal and share compiled programs."""
        spec = self.dataset.spec
        num_classes = {"single": 1, "clusters": self.recipe.clusters}.get(method.labels, spec.num_classes)
        configured = self.configured[method.recipes]
        if configured.random_flip:
            refuse_mirror("dataset.random_flip", spec, "dataset.random_flip = False")
        return configured.gan(dataclasses.replace(spec, num_classes=num_classes))

    @property
    def label_seeds(self) -> tuple[int, ...]:
        """The seeds of the label sets."""
        return self.label_sets or self.seeds

    def seed_folder(self, seed: int) -> Path:
        """The folder of a seed."""
        return self.folder if self.flat else self.folder / f"seed-{seed}"

    def labels_folder(self, seed: int, budget: Budget | None) -> Path:
        """The folder of a seed and a label budget; the seed folder if `budget` is None."""
        folder = self.seed_folder(seed)
        return folder if budget is None or self.flat else folder / budget_folder_name(budget)

    def task_dir(self, task: Task) -> Path:
        """The folder of a task."""
        if task.kind == "clusters":
            return self.seed_folder(task.seed) / CLUSTERS
        labels = self.labels_folder(task.label_seed, task.budget)
        if task.method is None:
            return labels
        other = "" if task.label_seed == task.seed else f"-seed-{task.seed}"
        return labels / f"{task.method.name}{other}"

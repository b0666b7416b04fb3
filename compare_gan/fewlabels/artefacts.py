"""What a study computes once and keeps in files: an encoder, features, labels.

  artefact          made from                    for each              files
  ENCODER           images                       seed                  pretrained.npz
  IMAGE_FEATURES    encoder                      seed                  features.npz
  CLUSTER_LABELS    features                     seed                  those of labels, in clusters/
  KEPT_LABELS       true labels                  seed, label budget    labels-kept.npz
  INFERRED_LABELS   kept labels, encoder or      seed, label budget    classifier.npz, predictions.npz,
                    features                                           labels-train.npz, labels-soft.npz

`Artefacts.ensure` makes what is missing, in this order. The functions that make them (`stages.py`,
`representation.py`) read a file that exists, and refuse one that was made from something else.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from compare_gan.core.run_files import (
    CLASSIFIER,
    CLUSTERS,
    FEATURES,
    KEPT,
    LABELS,
    PREDICTIONS,
    PRETRAINED,
    SOFT_LABELS,
)
from compare_gan.data.base import UNLABELLED, ImageDataset, hard_labels
from compare_gan.data.labels import from_file
from compare_gan.features.encoder import TrainedEncoder
from compare_gan.fewlabels.budget import Budget
from compare_gan.fewlabels.inferred import Inferred
from compare_gan.fewlabels.representation import Features, extract, pretrain
from compare_gan.fewlabels.stages import infer_labels, keep_labels, warn_of_empty_classes
from compare_gan.fewlabels.study import Study

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Artefact(Generic[T]):
    """Something that is computed once and kept in files.

    `needs` and `folder` depend on the study: one with features of the user's own needs no encoder.
    """

    name: str
    files: tuple[str, ...]
    folder: Callable[[Study, int, Budget | None], Path]  # of a seed and a label budget
    needs: Callable[[Study], tuple["Artefact[Any]", ...]]
    make: Callable[..., T]  # (study, seed, budget, folder, *what it needs); reads files that exist


class Artefacts:
    """The artefacts of one seed and label budget of a study. Each is made or read once, and then kept here.

    Args:
      study: the study.
      seed: one of its seeds.
      budget: one of its label budgets; None: only what does not depend on the kept labels is asked for.
    """

    def __init__(self, study: Study, seed: int, budget: Budget | None = None):
        self.study, self.seed, self.budget = study, seed, budget
        self._made: dict[Artefact[Any], Any] = {}

    def ensure(self, artefact: Artefact[T]) -> T:
        """An artefact. It, and what it needs, is made unless its files exist.

        Raises:
          UserError: its files were made from something else, or it cannot be made from this data.
          Interrupted: Ctrl-C or SIGTERM; checkpoints are saved.
        """
        if artefact not in self._made:
            needed = [self.ensure(need) for need in artefact.needs(self.study)]
            folder = artefact.folder(self.study, self.seed, self.budget)
            self._made[artefact] = artefact.make(self.study, self.seed, self.budget, folder, *needed)
        return self._made[artefact]


def required(study: Study, artefact: Artefact[Any]) -> set[Artefact[Any]]:
    """An artefact and everything that it is made from, directly or not."""
    return {artefact}.union(*(required(study, need) for need in artefact.needs(study)))


def _seed_folder(study: Study, seed: int, budget: Budget | None) -> Path:
    return study.seed_folder(seed)


def _clusters_folder(study: Study, seed: int, budget: Budget | None) -> Path:
    return study.seed_folder(seed) / CLUSTERS


def _labels_folder(study: Study, seed: int, budget: Budget | None) -> Path:
    return study.labels_folder(seed, budget)


def _pretrain(study: Study, seed: int, budget: Budget | None, folder: Path) -> TrainedEncoder:
    return pretrain(study.dataset, study.recipe, seed, folder)


def _extract(
    study: Study, seed: int, budget: Budget | None, folder: Path, encoder: TrainedEncoder | None = None
) -> Features:
    """The user's own features, or those of the encoder."""
    if study.features is not None:
        return study.features
    assert encoder is not None
    return extract(study.dataset, encoder, folder)


def _cluster(study: Study, seed: int, budget: Budget | None, folder: Path, features: Features) -> Inferred:
    """Labels by clusters of the features. No label is read."""
    recipe = dataclasses.replace(study.recipe, classifier="clusters")
    unlabelled = study.dataset.with_labels(np.full(len(study.dataset.train), UNLABELLED, np.int32))
    return infer_labels(unlabelled, features, recipe, seed, folder)


def _keep(study: Study, seed: int, budget: Budget | None, folder: Path) -> ImageDataset:
    assert budget is not None
    return keep_labels(study.dataset, budget, seed, folder)


def _infer(study: Study, seed: int, budget: Budget | None, folder: Path, *needed: Any) -> Inferred:
    """Labels of the user's own label file, or those inferred from the kept ones."""
    if study.label_file is None:
        kept, source = needed
        return infer_labels(kept, source, study.recipe, seed, folder)
    given = from_file(study.dataset, study.label_file)
    hard = given.with_labels(hard_labels(given.train))
    warn_of_empty_classes(hard, f"{study.label_file}: labels no image as")
    return Inferred(hard, given if given.train.labels.ndim == 2 else None, None)


ENCODER: Artefact[TrainedEncoder] = Artefact(
    "encoder", (PRETRAINED,), _seed_folder, needs=lambda study: (), make=_pretrain
)
IMAGE_FEATURES: Artefact[Features] = Artefact(
    "features",
    (FEATURES,),
    _seed_folder,
    needs=lambda study: (ENCODER,) if study.features is None else (),
    make=_extract,
)
CLUSTER_LABELS: Artefact[Inferred] = Artefact(
    "clusters",
    (PREDICTIONS, LABELS),
    _clusters_folder,
    needs=lambda study: (IMAGE_FEATURES,),
    make=_cluster,
)
KEPT_LABELS: Artefact[ImageDataset] = Artefact(
    "kept labels", (KEPT,), _labels_folder, needs=lambda study: (), make=_keep
)
INFERRED_LABELS: Artefact[Inferred] = Artefact(
    "inferred labels",
    (CLASSIFIER, PREDICTIONS, LABELS, SOFT_LABELS),
    _labels_folder,
    needs=lambda study: (
        ()
        if study.label_file is not None
        else (KEPT_LABELS, ENCODER if study.recipe.classifier == "s4l" else IMAGE_FEATURES)
    ),
    make=_infer,
)
ARTEFACTS: tuple[Artefact[Any], ...] = (
    ENCODER, IMAGE_FEATURES, CLUSTER_LABELS, KEPT_LABELS, INFERRED_LABELS
)  # fmt: skip

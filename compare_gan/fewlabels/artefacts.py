"""Artefacts: results that a study computes once and stores in files, such as encoders, features and labels.

  artefact          inputs                       one per               files
  ENCODER           images                       seed                  pretrained.npz
  IMAGE_FEATURES    encoder                      seed                  features.npz
  CLUSTER_LABELS    features                     seed                  label files, in clusters/
  KEPT_LABELS       true labels                  seed, label budget    labels-kept.npz
  INFERRED_LABELS   kept labels, encoder or      seed, label budget    classifier.npz, predictions.npz,
                    features                                           labels-train.npz, labels-soft.npz
  NOISY_LABELS      inferred and true labels     seed, label budget    labels-noisy.npz

`Artefacts.ensure` computes missing artefacts, inputs first. The functions that compute them (`stages.py`,
`representation.py`) read existing files, and refuse files with other inputs.
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
    NOISY,
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
from compare_gan.fewlabels.stages import infer_labels, keep_labels, match_noise, warn_of_empty_classes
from compare_gan.fewlabels.study import Study

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Artefact(Generic[T]):
    """A result that is computed once and stored in files.

    `inputs` and `folder` depend on the study: with the user's features, for example, no encoder is needed.
    """

    name: str
    files: tuple[str, ...]
    folder: Callable[[Study, int, Budget | None], Path]  # from study, seed and label budget
    inputs: Callable[[Study], tuple["Artefact[Any]", ...]]
    compute: Callable[..., T]  # (study, seed, budget, folder, *inputs); reads existing files


class Artefacts:
    """The artefacts of one seed and label budget of a study. Each is computed or read once, then kept in
    memory.

    Args:
      study: the study.
      seed: one of its seeds.
      budget: one of its label budgets; None: only artefacts that do not depend on the kept labels are needed.
    """

    def __init__(self, study: Study, seed: int, budget: Budget | None = None):
        self.study, self.seed, self.budget = study, seed, budget
        self._values: dict[Artefact[Any], Any] = {}

    def ensure(self, artefact: Artefact[T]) -> T:
        """Returns an artefact. Computes it and its inputs unless their files exist.

        Raises:
          UserError: its files have other inputs, or it cannot be computed from this data.
          Interrupted: Ctrl-C or SIGTERM; checkpoints are saved.
        """
        if artefact not in self._values:
            inputs = [self.ensure(other) for other in artefact.inputs(self.study)]
            folder = artefact.folder(self.study, self.seed, self.budget)
            self._values[artefact] = artefact.compute(self.study, self.seed, self.budget, folder, *inputs)
        return self._values[artefact]


def with_inputs(study: Study, artefact: Artefact[Any]) -> set[Artefact[Any]]:
    """An artefact and all its direct and indirect inputs."""
    return {artefact}.union(*(with_inputs(study, other) for other in artefact.inputs(study)))


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
    """Labels from clusters of the features. No label is read."""
    recipe = dataclasses.replace(study.recipe, classifier="clusters")
    unlabelled = study.dataset.with_labels(np.full(len(study.dataset.train), UNLABELLED, np.int32))
    return infer_labels(unlabelled, features, recipe, seed, folder)


def _keep(study: Study, seed: int, budget: Budget | None, folder: Path) -> ImageDataset:
    assert budget is not None
    return keep_labels(study.dataset, budget, seed, folder)


def _infer(study: Study, seed: int, budget: Budget | None, folder: Path, *inputs: Any) -> Inferred:
    """The labels of the user's label file, or labels inferred from the kept ones."""
    if study.label_file is None:
        kept, source = inputs
        return infer_labels(kept, source, study.recipe, seed, folder)
    provided = from_file(study.dataset, study.label_file)
    hard = provided.with_labels(hard_labels(provided.train))
    warn_of_empty_classes(hard, f"{study.label_file}: no image has the label")
    return Inferred(hard, provided if provided.train.labels.ndim == 2 else None, None)


def _match_noise(
    study: Study, seed: int, budget: Budget | None, folder: Path, inferred: Inferred
) -> ImageDataset:
    return match_noise(study.dataset, inferred.hard, seed, folder)


ENCODER: Artefact[TrainedEncoder] = Artefact(
    "encoder", (PRETRAINED,), _seed_folder, inputs=lambda study: (), compute=_pretrain
)
IMAGE_FEATURES: Artefact[Features] = Artefact(
    "features",
    (FEATURES,),
    _seed_folder,
    inputs=lambda study: (ENCODER,) if study.features is None else (),
    compute=_extract,
)
CLUSTER_LABELS: Artefact[Inferred] = Artefact(
    "clusters",
    (PREDICTIONS, LABELS),
    _clusters_folder,
    inputs=lambda study: (IMAGE_FEATURES,),
    compute=_cluster,
)
KEPT_LABELS: Artefact[ImageDataset] = Artefact(
    "kept labels", (KEPT,), _labels_folder, inputs=lambda study: (), compute=_keep
)
INFERRED_LABELS: Artefact[Inferred] = Artefact(
    "inferred labels",
    (CLASSIFIER, PREDICTIONS, LABELS, SOFT_LABELS),
    _labels_folder,
    inputs=lambda study: (
        ()
        if study.label_file is not None
        else (KEPT_LABELS, ENCODER if study.recipe.fine_tunes else IMAGE_FEATURES)
    ),
    compute=_infer,
)
NOISY_LABELS: Artefact[ImageDataset] = Artefact(
    "noise-matched labels",
    (NOISY,),
    _labels_folder,
    inputs=lambda study: (INFERRED_LABELS,),
    compute=_match_noise,
)
BLIND: tuple[Artefact[Any], ...] = (  # depend on no hidden label
    ENCODER, IMAGE_FEATURES, CLUSTER_LABELS, KEPT_LABELS, INFERRED_LABELS
)  # fmt: skip

"""The stages from a few labels to a label for every image. Each turns inputs into a file.

  labels-kept.npz    which images keep their label; all others are unlabelled from here on
  pretrained.npz     an encoder that has seen all images and no label
  classifier.npz     the same, fine-tuned by the kept labels
  labels-train.npz   a label for every training image

A stage whose file exists is not run again, so each can be replaced by a file from elsewhere.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.labels import choose_kept, read_labels, write_labels
from compare_gan.features.encoder import EncoderSpec, TrainedEncoder, load_encoder
from compare_gan.train.encoder import (
    EncoderTraining,
    Objective,
    by_both,
    by_class,
    by_rotation,
    train_encoder,
)
from compare_gan.train.loop import Schedule

KEPT, PRETRAINED, CLASSIFIER, LABELS = (
    "labels-kept.npz",
    "pretrained.npz",
    "classifier.npz",
    "labels-train.npz",
)


@dataclasses.dataclass(frozen=True)
class LabelRecipe:
    """How labels are inferred.

    Raises:
      UserError: a number that makes no sense.
    """

    width: int = 32
    pretrain_steps: int = 300
    classify_steps: int = 300
    labelled_batch: int = 32
    rotation_weight: float = 1.0
    training: EncoderTraining = EncoderTraining()

    def __post_init__(self):
        for name in ("width", "pretrain_steps", "classify_steps", "labelled_batch"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")


def keep_labels(dataset: ImageDataset, fraction: float, seed: int, folder: Path) -> ImageDataset:
    """The data set with all training labels hidden but a few, which are written to a file.

    Here, and nowhere else, are the true training labels read.

    Raises:
      UserError: the fraction is not in (0, 1], or the data set has no labels.
    """
    path = folder / KEPT
    if not path.exists():
        kept = choose_kept(dataset.train.labels, fraction, seed)
        write_labels(path, kept, dataset.train.labels[kept])
    return dataset.with_labels(read_labels(path, len(dataset.train)))


def pretrain(dataset: ImageDataset, recipe: LabelRecipe, seed: int, folder: Path) -> TrainedEncoder:
    """Features from rotation prediction on all training images. No label is read."""
    unlabelled = Split(dataset.train.images, np.full(len(dataset.train), UNLABELLED, np.int32))
    spec = EncoderSpec(dataset.spec.image_shape, dataset.class_names, recipe.width)

    def make() -> TrainedEncoder:
        return _train("pretrain", spec, unlabelled, by_rotation, recipe.pretrain_steps, recipe, seed, folder)

    return _once(folder / PRETRAINED, make, dict(task="rotation", seed=seed))


def classify(
    dataset: ImageDataset, encoder: TrainedEncoder, recipe: LabelRecipe, seed: int, folder: Path
) -> TrainedEncoder:
    """A classifier on the encoder's features, learned from the labels that are left.

    The rotation task goes on beside it, on all images, so that features do not fit the few only.

    Raises:
      UserError: no label is left, or the encoder was made for other images or classes.
    """
    labelled = np.flatnonzero(dataset.train.labels != UNLABELLED)
    if not len(labelled):
        raise UserError(f"{dataset.name}: no training image has a label to learn from")
    if (encoder.spec.image_shape, encoder.spec.classes) != (dataset.spec.image_shape, dataset.class_names):
        raise UserError(f"{encoder.name}: made for other images or classes than {dataset.name}; remove it")
    few = Split(dataset.train.images[labelled], dataset.train.labels[labelled])
    everything = Split(dataset.train.images, np.full(len(dataset.train), UNLABELLED, np.int32))

    def objective(max_shift: int) -> Objective:
        return by_both(few, recipe.labelled_batch, recipe.rotation_weight, max_shift)

    def make() -> TrainedEncoder:
        return _train(
            "classify",
            encoder.spec,
            everything,
            objective,
            recipe.classify_steps,
            recipe,
            seed + 1,
            folder,
            encoder,
        )

    return _once(folder / CLASSIFIER, make, dict(task="rotation and few labels", seed=seed))


def infer_labels(dataset: ImageDataset, classifier: TrainedEncoder, folder: Path) -> ImageDataset:
    """The data set with the classifier's label on every training image, the given ones included.

    As in the paper the labels are hard, and the GAN sees only what was inferred.
    """
    path = folder / LABELS
    if not path.exists():
        inferred = classifier(dataset.train.images).classes.argmax(1)
        write_labels(path, np.arange(len(dataset.train)), inferred.astype(np.int32))
    return dataset.with_labels(read_labels(path, len(dataset.train)))


def label_quality(true: np.ndarray, inferred: np.ndarray, class_names: tuple[str, ...]) -> dict[str, Any]:
    """How good inferred labels are, against all true ones; for people to read, for nothing to learn from."""
    confusion = np.zeros((len(class_names),) * 2, int)
    known = true != UNLABELLED
    np.add.at(confusion, (true[known], inferred[known]), 1)
    return {
        "accuracy": float(np.trace(confusion) / max(confusion.sum(), 1)),
        "confusion": confusion.tolist(),
        "class_names": list(class_names),
        "balance": confusion.sum(0).tolist(),
    }


def train_classifier(
    dataset: ImageDataset, width: int, steps: int, seed: int, run_dir: Path
) -> TrainedEncoder:
    """A classifier from all labels of a data set: what scores are measured with, not what GANs learn from.

    Raises:
      UserError: a training image has no label.
    """
    if (dataset.train.labels == UNLABELLED).any():
        raise UserError(f"{dataset.name}: a classifier to measure with needs a label on every training image")
    training = EncoderTraining(batch_size=128)
    spec = EncoderSpec(dataset.spec.image_shape, dataset.class_names, width)
    return train_encoder(
        "classifier",
        spec,
        dataset.train,
        by_class(training.max_shift),
        training=training,
        run_dir=run_dir,
        schedule=Schedule(steps),
        seed=seed,
    )


def _train(name, spec, split, objective, steps, recipe, seed, folder, start=None) -> TrainedEncoder:
    return train_encoder(
        name,
        spec,
        split,
        objective(recipe.training.max_shift),
        training=recipe.training,
        run_dir=folder / name,
        schedule=Schedule(steps, log_every=25, save_every=500),
        seed=seed,
        start=None if start is None else start.net,
    )


def _once(path: Path, make: Callable[[], TrainedEncoder], provenance: dict[str, Any]) -> TrainedEncoder:
    """The encoder in a file, made first where there is none."""
    if not path.exists():
        make().save(path, provenance)
    return load_encoder(path)

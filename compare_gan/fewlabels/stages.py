"""The stages from a few labels to a label for every image. Each turns inputs into a file.

  labels-kept.npz    which images keep their label; all others are unlabelled from here on
  pretrained.npz     an encoder that has seen all images and no label   (`representation.pretrain`)
  features.npz       what it makes of every image                       (`representation.extract`)
  classifier.npz     the encoder fine-tuned by the kept labels (s4l)
  predictions.npz    calibrated probabilities, or clusters, of every image
  labels-train.npz   a label for every training image
  labels-soft.npz    the same as probabilities

A stage whose file exists is not run again, so each can be replaced by a file from elsewhere. What depends
on the kept labels, or on the classifier, wants a folder for each of them.
"""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.base import ImageDataset
from compare_gan.data.label_files import write_labels
from compare_gan.data.labels import from_file
from compare_gan.features.encoder import TrainedEncoder
from compare_gan.fewlabels.budget import Budget, choose
from compare_gan.fewlabels.cluster import cluster
from compare_gan.fewlabels.inferred import (
    LABELS,
    PREDICTIONS,
    SOFT_LABELS,
    Inferred,
    read_predictions,
)
from compare_gan.fewlabels.linear import classify_linear
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features, extract
from compare_gan.fewlabels.s4l import classify_s4l

KEPT = "labels-kept.npz"


def keep_labels(dataset: ImageDataset, fraction: Budget, seed: int, folder: Path) -> ImageDataset:
    """The data set with all training labels hidden but a few, which are written to a file.

    Here, and nowhere else, are the true training labels read.

    Args:
      dataset: with all labels.
      fraction: the share of labels that is kept, in (0, 1]; or `PerClass`.
      seed: of the choice.
      folder: gets the file.

    Raises:
      UserError: the fraction makes no sense, or the data set has no labels.
    """
    path = folder / KEPT
    if not path.exists():
        kept = choose(dataset.train.labels, fraction, seed)
        write_labels(path, kept, dataset.train.labels[kept], dataset.train.names)
    return from_file(dataset, path)


def infer_labels(
    dataset: ImageDataset, source: TrainedEncoder | Features, recipe: LabelRecipe, seed: int, folder: Path
) -> Inferred:
    """The data set with an inferred label on every training image, those with a given one included.

    As in the paper the GAN sees only what was inferred: https://arxiv.org/abs/1903.02271.

    Args:
      dataset: with the kept labels (`keep_labels`); clusters do not look at them.
      source: the pre-trained encoder, or features; s4l needs the encoder.
      recipe: how.
      seed: of all that is drawn at random.
      folder: gets the files.

    Raises:
      UserError: no label is left to learn from, or the source does not fit the data set or the recipe.
    """
    names = dataset.train.names
    if not (folder / LABELS).exists():
        if recipe.classifier == "s4l":
            if isinstance(source, Features):
                raise UserError(f"{source.name}: s4l trains an encoder; features go with linear or clusters")
            predictions = classify_s4l(dataset, source, recipe, seed, folder)
        else:
            features = source if isinstance(source, Features) else extract(dataset, source, folder)
            if recipe.classifier == "linear":
                predictions = classify_linear(features, dataset.train.labels, len(dataset.class_names))
            else:
                predictions = cluster(features, recipe.clusters, seed)
        predictions.save(folder / PREDICTIONS)
        if recipe.classifier == "clusters":
            write_labels(folder / LABELS, np.arange(len(dataset.train)), predictions.train, names)
        else:
            certain = np.flatnonzero(predictions.train.max(1) >= (recipe.confidence or 0.0))
            write_labels(folder / SOFT_LABELS, certain, predictions.train[certain], names)
            classes = predictions.train[certain].argmax(1).astype(np.int32)
            write_labels(folder / LABELS, certain, classes, names)
    return read_inferred(dataset, recipe, folder)


def read_inferred(dataset: ImageDataset, recipe: LabelRecipe, folder: Path) -> Inferred:
    """What `infer_labels` left in a folder.

    Raises:
      UserError: a file is missing, damaged, or for other images.
    """
    if recipe.classifier == "clusters":
        names = tuple(f"cluster {k}" for k in range(recipe.clusters))
        dataset = dataclasses.replace(dataset, class_names=names)
    soft, made = folder / SOFT_LABELS, folder / PREDICTIONS
    return Inferred(
        from_file(dataset, folder / LABELS),
        from_file(dataset, soft) if soft.exists() else None,
        read_predictions(made) if made.exists() else None,
    )

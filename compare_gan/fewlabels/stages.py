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
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED, ImageDataset, Split
from compare_gan.data.label_files import write_labels
from compare_gan.data.labels import choose_kept, from_file
from compare_gan.features.encoder import TrainedEncoder, load_encoder
from compare_gan.fewlabels.inferred import (
    LABELS,
    PREDICTIONS,
    SOFT_LABELS,
    Inferred,
    Predictions,
    read_predictions,
)
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features, extract
from compare_gan.train.encoder import by_both, train_encoder
from compare_gan.train.loop import Schedule

KEPT, CLASSIFIER = "labels-kept.npz", "classifier.npz"


def keep_labels(dataset: ImageDataset, fraction: float, seed: int, folder: Path) -> ImageDataset:
    """The data set with all training labels hidden but a few, which are written to a file.

    Here, and nowhere else, are the true training labels read.

    Raises:
      UserError: the fraction is not in (0, 1], or the data set has no labels.
    """
    path = folder / KEPT
    if not path.exists():
        kept = choose_kept(dataset.train.labels, fraction, seed)
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
            predictions = classify(dataset, source, recipe, seed, folder)
        else:
            features = source if isinstance(source, Features) else extract(dataset, source, folder)
            by = classify_linear if recipe.classifier == "linear" else cluster
            predictions = by(dataset, features, recipe, seed)
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


def classify(
    dataset: ImageDataset, encoder: TrainedEncoder, recipe: LabelRecipe, seed: int, folder: Path
) -> Predictions:
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
    path = folder / CLASSIFIER
    if not path.exists():
        few = Split(dataset.train.images[labelled], dataset.train.labels[labelled])
        everything = Split(dataset.train.images, np.full(len(dataset.train), UNLABELLED, np.int32))
        train_encoder(
            "classify",
            encoder.spec,
            everything,
            by_both(few, recipe.labelled_batch, recipe.rotation_weight, recipe.training.max_shift),
            training=recipe.training,
            run_dir=folder / "classify",
            schedule=Schedule(recipe.classify_steps, log_every=25, save_every=500),
            seed=seed + 1,
            start=encoder.net,
        ).save(path, dict(task="rotation and few labels", seed=seed))
    classifier = load_encoder(path)

    def probabilities(split: Split) -> np.ndarray | None:
        if not len(split):
            return None
        logits = classifier(split.images).classes.astype(np.float64)
        exp = np.exp(logits - logits.max(1, keepdims=True))
        return (exp / exp.sum(1, keepdims=True)).astype(np.float32)

    train = probabilities(dataset.train)
    assert train is not None
    return Predictions(train, probabilities(dataset.test))


def classify_linear(dataset: ImageDataset, features: Features, recipe: LabelRecipe, seed: int) -> Predictions:
    """Logistic regression on fixed features, from the labels that are left.

    Raises:
      UserError: no label is left.
    """
    labelled = np.flatnonzero(dataset.train.labels != UNLABELLED)
    if not len(labelled):
        raise UserError(f"{dataset.name}: no training image has a label to learn from")
    model = LogisticRegression(max_iter=1000, random_state=seed)
    model.fit(features.train[labelled], dataset.train.labels[labelled])

    def probabilities(x: np.ndarray | None) -> np.ndarray | None:
        if x is None:
            return None
        found = np.zeros((len(x), len(dataset.class_names)), np.float32)
        found[:, model.classes_] = model.predict_proba(x)
        return found

    train = probabilities(features.train)
    assert train is not None
    return Predictions(train, probabilities(features.test))


def cluster(dataset: ImageDataset, features: Features, recipe: LabelRecipe, seed: int) -> Predictions:
    """k-means on features of unit length. No label is read."""
    model = MiniBatchKMeans(recipe.clusters, random_state=seed, n_init=3)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    train = model.fit_predict(unit(features.train)).astype(np.int32)
    test = None if features.test is None else model.predict(unit(features.test)).astype(np.int32)
    return Predictions(train, test)

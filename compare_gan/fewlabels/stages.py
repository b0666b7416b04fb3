"""The stages from a few labels to a label for every image. Each turns inputs into a file.

  labels-kept.npz    which images keep their label; all others are unlabelled from here on
  pretrained.npz     an encoder that has seen all images and no label   (`representation.pretrain`)
  features.npz       what it makes of every image                       (`representation.extract`)
  classifier.npz     the encoder fine-tuned by the kept labels (s4l)
  predictions.npz    calibrated probabilities, or clusters, of every image
  labels-train.npz   a label for every training image
  labels-soft.npz    the same as probabilities

A stage whose file exists is not run again. Beside each file lies a note of what it was made from: images,
labels, recipe, seed (`core.origin`). A file that was made from something else is refused; one without a note
comes from elsewhere, and is used with a warning. So each stage can be replaced by a file of one's own. What
depends on the kept labels, or on the classifier, wants a folder for each of them.
"""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.origin import is_made, note_of, warn_once
from compare_gan.core.run_files import KEPT, LABELS, PREDICTIONS, SOFT_LABELS
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.data.fingerprint import fingerprint
from compare_gan.data.label_files import write_labels
from compare_gan.data.labels import from_file
from compare_gan.features.encoder import TrainedEncoder
from compare_gan.fewlabels.budget import Budget, choose, columns, describe_budget
from compare_gan.fewlabels.cluster import cluster
from compare_gan.fewlabels.inferred import Inferred, read_predictions
from compare_gan.fewlabels.linear import classify_linear
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features, extract
from compare_gan.fewlabels.s4l import classify_s4l

log = logging.getLogger(__name__)


def keep_labels(dataset: ImageDataset, fraction: Budget, seed: int, folder: Path) -> ImageDataset:
    """The data set with all training labels hidden but a few, which are written to a file.

    Here, and nowhere else, are the true training labels read. A file that is there already is taken if it is
    of this budget, seed and data. One that comes from elsewhere may keep any labels.

    Args:
      dataset: with all labels that there are; -1 = unlabelled.
      fraction: the share of these labels that is kept, in (0, 1]; or `PerClass`.
      seed: of the choice.
      folder: gets the file.

    Raises:
      UserError: the fraction makes no sense, the data set has no labels, or the folder holds labels of
        another budget or seed, or of other data.
    """
    path, labels = run_folder(folder) / KEPT, dataset.train.labels
    if labels.ndim != 1:
        raise UserError(f"{dataset.name}: has probabilities in place of labels; give one class an image")
    if path.exists() and not note_of(path).exists():
        return kept_elsewhere(dataset, fraction, seed, path)
    chosen = None if path.exists() else choose(labels, fraction, seed)
    if not is_made(path, {"images": fingerprint(dataset.train.images), **columns(fraction), "seed": seed}):
        assert chosen is not None
        write_labels(path, chosen, labels[chosen], dataset.train.names)
    few = from_file(dataset, path)
    kept = few.train.labels
    wrong = np.flatnonzero((kept != labels) & (kept != UNLABELLED) & (labels != UNLABELLED))
    if len(wrong):
        i = wrong[0]
        raise UserError(
            f"{path}: gives image {i} the label {kept[i]}, but the data set gives it {labels[i]}; "
            f"it was made from other data: remove it or choose another folder"
        )
    return few


def kept_elsewhere(dataset: ImageDataset, fraction: Budget, seed: int, path: Path) -> ImageDataset:
    """The data set with the labels of a file that was not made here. Warns if they are not of the budget.

    Raises:
      UserError: the file holds probabilities, no label, or does not fit the images or the classes.
    """
    few = from_file(dataset, path)
    if few.train.labels.ndim != 1:
        raise UserError(f"{path}: holds probabilities; give one class an image")
    warn_of_empty_classes(few, f"{path}: labels no image as")
    kept = np.flatnonzero(few.train.labels != UNLABELLED)
    if not len(kept):
        raise UserError(f"{path}: labels no image; remove it or label some")
    known = dataset.train.labels
    chosen = choose(known, fraction, seed) if (known != UNLABELLED).any() else np.empty(0, np.int64)
    if not np.array_equal(kept, chosen):
        warn_once(
            f"{path}: comes from elsewhere; its {len(kept)} labels are used in place of the {len(chosen)} "
            f"that {describe_budget(fraction)} and seed {seed} choose"
        )
    return few


def infer_labels(
    dataset: ImageDataset, source: TrainedEncoder | Features, recipe: LabelRecipe, seed: int, folder: Path
) -> Inferred:
    """The data set with an inferred label on every training image.

    The GAN sees only what was inferred: an image with a kept label, too, gets what the classifier predicts.

    Args:
      dataset: with the kept labels (`keep_labels`); clusters do not look at them.
      source: the pre-trained encoder, or features; s4l needs the encoder.
      recipe: how.
      seed: of all that is drawn at random.
      folder: gets the files.

    Raises:
      UserError: no label is left to learn from, or labels of one class only; no inferred label is certain
        enough; the source does not fit the data
        set or the recipe; or the folder holds labels that were inferred from something else.
    """
    train, names = dataset.train, dataset.train.names
    run_folder(folder)
    learned = recipe.classifier != "clusters"
    origin = {
        "images": fingerprint(train.images),
        "labels": fingerprint(train.labels) if learned else None,
        "source": fingerprint(source.train) if isinstance(source, Features) else source.sha256,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
    }
    if learned and not (folder / LABELS).exists():
        check_learnable(dataset)
    if not is_made(folder / LABELS, origin):
        if recipe.classifier == "s4l":
            if isinstance(source, Features):
                raise UserError(f"{source.name}: s4l trains an encoder; features go with linear or clusters")
            predictions = classify_s4l(dataset, source, recipe, seed, folder)
        else:
            features = source if isinstance(source, Features) else extract(dataset, source, folder)
            if recipe.classifier == "linear":
                predictions = classify_linear(features, train.labels, len(dataset.class_names))
            else:
                predictions = cluster(features, recipe.clusters, seed)
        predictions.save(folder / PREDICTIONS)
        if recipe.classifier == "clusters":
            write_labels(folder / LABELS, np.arange(len(train)), predictions.train, names)
        else:
            certain = np.flatnonzero(predictions.train.max(1) >= (recipe.confidence or 0.0))
            if not len(certain):
                most = predictions.train.max()
                raise UserError(
                    f"{dataset.name}: no inferred label is as certain as {recipe.confidence}; the "
                    f"most certain has probability {most:.6g}; choose a lower --confidence"
                )
            write_labels(folder / SOFT_LABELS, certain, predictions.train[certain], names)
            classes = predictions.train[certain].argmax(1).astype(np.int32)
            write_labels(folder / LABELS, certain, classes, names)
    inferred = read_inferred(dataset, recipe, folder)
    warn_of_empty_classes(inferred.hard, f"{folder / LABELS}: no image is inferred to be")
    return inferred


def warn_of_empty_classes(dataset: ImageDataset, start: str) -> None:
    """Warns of classes of which no training image has a label: a conditional GAN draws them untrained."""
    counts = np.bincount(dataset.train.labels + 1, minlength=len(dataset.class_names) + 1)[1:]
    if empty := [repr(name) for name, count in zip(dataset.class_names, counts, strict=True) if not count]:
        names = ", ".join(empty[:5]) + (", ..." if empty[5:] else "")
        warn_once(f"{start} {names}; a GAN draws such classes without having been trained on them")


def check_learnable(dataset: ImageDataset) -> None:
    """Logs which classes have no label: they are never inferred.

    Raises:
      UserError: fewer than two classes have one.
    """
    known = np.unique(dataset.train.labels[dataset.train.labels != UNLABELLED])
    if not len(known):
        raise UserError(f"{dataset.name}: no training image has a label to learn from")
    names = dataset.class_names
    if len(known) == 1:
        raise UserError(
            f"{dataset.name}: all labels are of one class, {names[known[0]]!r}; "
            f"label images of at least two classes"
        )
    if missing := [name for k, name in enumerate(names) if k not in known]:
        listed = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        log.warning("%s: no label of %s; no image is inferred to be of these classes", dataset.name, listed)


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

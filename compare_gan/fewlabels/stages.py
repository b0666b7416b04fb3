"""The stages of label inference, from a few labels to a label for every image. Each stage writes files.

  labels-kept.npz    the images that keep their label; all others are unlabelled from here on
  pretrained.npz     an encoder trained on all images without labels   (`representation.pretrain`)
  features.npz       its features of every image                       (`representation.extract`)
  classifier.npz     the encoder fine-tuned on the kept labels (s4l, fixmatch)
  predictions.npz    calibrated probabilities, or clusters, of every image
  labels-train.npz   a label for every training image
  labels-soft.npz    the same as probabilities
  labels-noisy.npz   true labels with the errors of the inferred ones, for a control

A stage whose file exists is skipped. An origin file next to each file records its inputs: images, labels,
recipe, seed (`core.origin`). A file with other inputs is refused. A file without an origin file is the user's
own and is used with a warning, so each stage can be replaced. Files that depend on the kept labels or on the
classifier need a separate folder for each choice.
"""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import run_folder
from compare_gan.core.origin import is_made, note_of, seal, warn_once
from compare_gan.core.run_files import KEPT, LABELS, NOISY, PREDICTIONS, SOFT_LABELS
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.data.fingerprint import fingerprint
from compare_gan.data.label_files import write_labels
from compare_gan.data.labels import from_file
from compare_gan.data.order import permutation
from compare_gan.features.encoder import TrainedEncoder
from compare_gan.fewlabels.budget import Budget, budget_columns, choose, describe_budget
from compare_gan.fewlabels.cluster import cluster
from compare_gan.fewlabels.fine_tune import fine_tune
from compare_gan.fewlabels.inferred import Inferred, read_predictions
from compare_gan.fewlabels.linear import classify_linear
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.fewlabels.representation import Features, extract

NOISE_KEY = 1  # tells the random numbers of `match_noise` from those of `keep_labels`
log = logging.getLogger(__name__)


def keep_labels(dataset: ImageDataset, fraction: Budget, seed: int, folder: Path) -> ImageDataset:
    """Chooses the labels to keep, writes them to `labels-kept.npz`, and hides all others.

    This is the only stage that reads the true training labels. An existing file is reused if it is for this
    budget, seed and data. A file of the user may keep any labels.

    Args:
      dataset: the data set with all its labels; -1 = unlabelled.
      fraction: the fraction of these labels to keep, in (0, 1]; or `PerClass`.
      seed: of the random choice.
      folder: the output folder.

    Returns:
      The data set with only the kept labels.

    Raises:
      UserError: the fraction is out of range, the data set has no labels, or the folder holds labels for
        another budget, seed or data set.
    """
    path, labels = run_folder(folder) / KEPT, dataset.train.labels
    if labels.ndim != 1:
        raise UserError(f"{dataset.name}: has probabilities as labels; provide one class per image")
    if path.exists() and not note_of(path).exists():
        return read_user_labels(dataset, fraction, seed, path)
    chosen = None if path.exists() else choose(labels, fraction, seed)
    if not is_made(
        path, {"images": fingerprint(dataset.train.images), **budget_columns(fraction), "seed": seed}
    ):
        chosen = choose(labels, fraction, seed) if chosen is None else chosen
        write_labels(path, chosen, labels[chosen], dataset.train.names)
        seal(path)
    few = from_file(dataset, path)
    kept = few.train.labels
    conflicts = np.flatnonzero((kept != labels) & (kept != UNLABELLED) & (labels != UNLABELLED))
    if len(conflicts):
        i = conflicts[0]
        raise UserError(
            f"{path}: image {i} has label {kept[i]}, but label {labels[i]} in the data set; "
            "the file belongs to other data: delete it or choose another folder"
        )
    return few


def read_user_labels(dataset: ImageDataset, fraction: Budget, seed: int, path: Path) -> ImageDataset:
    """The data set with the kept labels of a user's file. Warns if they differ from the budget's choice.

    Raises:
      UserError: the file has probabilities or no label, or does not match the images or the classes.
    """
    few = from_file(dataset, path)
    if few.train.labels.ndim != 1:
        raise UserError(f"{path}: contains probabilities; provide one class per image")
    warn_of_empty_classes(few, f"{path}: no image has the label")
    kept = np.flatnonzero(few.train.labels != UNLABELLED)
    if not len(kept):
        raise UserError(f"{path}: contains no label; delete it or add some")
    known = dataset.train.labels
    chosen = choose(known, fraction, seed) if (known != UNLABELLED).any() else np.empty(0, np.int64)
    if not np.array_equal(kept, chosen):
        warn_once(
            f"{path}: not written by this program; its {len(kept)} labels replace the {len(chosen)} labels "
            f"that {describe_budget(fraction)} and seed {seed} choose"
        )
    return few


def infer_labels(
    dataset: ImageDataset, source: TrainedEncoder | Features, recipe: LabelRecipe, seed: int, folder: Path
) -> Inferred:
    """Infers a label for every training image.

    The prediction also replaces the labels of images with a kept label.

    Args:
      dataset: the data set with the kept labels (`keep_labels`); clusters ignore them.
      source: the pre-trained encoder, or features; s4l and fixmatch need the encoder.
      recipe: the hyperparameters.
      seed: of all random choices.
      folder: the output folder.

    Returns:
      The data set with inferred labels. Existing files are reused.

    Raises:
      UserError: no image has a label, or all labels are of one class; no prediction reaches the required
        confidence; the source does not match the data set or the recipe; or the folder holds labels inferred
        from other inputs.
    """
    recipe = recipe.for_images(dataset.mirror)
    train, names = dataset.train, dataset.train.names
    run_folder(folder)
    uses_labels = recipe.classifier != "clusters"
    origin = {
        "images": fingerprint(train.images),
        "labels": fingerprint(train.labels) if uses_labels else None,
        "source": fingerprint(source.train) if isinstance(source, Features) else source.sha256,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
    }
    if uses_labels and not (folder / LABELS).exists():
        check_learnable(dataset)
    files = folder / LABELS, folder / SOFT_LABELS, folder / PREDICTIONS
    if not is_made(files[0], origin, *files[1:]):
        if recipe.fine_tunes:
            if isinstance(source, Features):
                raise UserError(
                    f"{source.name}: {recipe.classifier} trains an encoder; "
                    "use features with linear or clusters"
                )
            predictions = fine_tune(dataset, source, recipe, seed, folder)
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
                highest = predictions.train.max()
                raise UserError(
                    f"{dataset.name}: no prediction reaches confidence {recipe.confidence}; the highest "
                    f"probability is {highest:.6g}; choose a lower --confidence"
                )
            write_labels(folder / SOFT_LABELS, certain, predictions.train[certain], names)
            classes = predictions.train[certain].argmax(1).astype(np.int32)
            write_labels(folder / LABELS, certain, classes, names)
        seal(*files)
    inferred = read_inferred(dataset, recipe, folder)
    warn_of_empty_classes(inferred.hard, f"{folder / LABELS}: no image has the inferred label")
    return inferred


def match_noise(dataset: ImageDataset, inferred: ImageDataset, seed: int, folder: Path) -> ImageDataset:
    """Gives the true labels the confusion matrix of the inferred ones, with the errors at random images.

    The inferred labels are permuted among the images of each true class. So a GAN that trains on them meets
    as many errors of each kind, but they are unrelated to what an image looks like.

    Args:
      dataset: the data set with all its true labels.
      inferred: the same images with inferred labels; -1 = unlabelled.
      seed: of the permutation.
      folder: the output folder, for `labels-noisy.npz`.

    Returns:
      The data set with these labels. An existing file is reused.

    Raises:
      UserError: the folder holds noise-matched labels of other inputs.
    """
    path, true, labels = run_folder(folder) / NOISY, dataset.train.labels, inferred.train.labels
    origin = {
        "images": fingerprint(dataset.train.images),
        "labels": fingerprint(true),
        "inferred": fingerprint(labels),
        "seed": seed,
    }
    if not is_made(path, origin):
        noisy = labels.copy()
        for index in np.unique(true):
            members = np.flatnonzero(true == index)
            noisy[members] = labels[members][permutation(len(members), seed, int(index), NOISE_KEY)]
        known = np.flatnonzero(noisy != UNLABELLED)
        write_labels(path, known, noisy[known], dataset.train.names)
        seal(path)
    return from_file(dataset, path)


def warn_of_empty_classes(dataset: ImageDataset, start: str) -> None:
    """Warns of classes without a labelled training image: a conditional GAN generates them untrained.

    Args:
      dataset: the data set.
      start: the start of the message, which the class names follow.
    """
    counts = np.bincount(dataset.train.labels + 1, minlength=len(dataset.class_names) + 1)[1:]
    if empty := [repr(name) for name, count in zip(dataset.class_names, counts, strict=True) if not count]:
        names = ", ".join(empty[:5]) + (", ..." if empty[5:] else "")
        warn_once(f"{start} {names}; a GAN generates these classes without having been trained on them")


def check_learnable(dataset: ImageDataset) -> None:
    """Logs the classes without a label, which are never inferred.

    Raises:
      UserError: fewer than two classes have a label.
    """
    known = np.unique(dataset.train.labels[dataset.train.labels != UNLABELLED])
    if not len(known):
        raise UserError(f"{dataset.name}: no training image has a label to learn from")
    names = dataset.class_names
    if len(known) == 1:
        raise UserError(
            f"{dataset.name}: all labels are of one class, {names[known[0]]!r}; "
            "label images of at least two classes"
        )
    if missing := [name for k, name in enumerate(names) if k not in known]:
        listed = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        log.warning("%s: no label of %s; these classes are never inferred", dataset.name, listed)


def read_inferred(dataset: ImageDataset, recipe: LabelRecipe, folder: Path) -> Inferred:
    """Reads the files of `infer_labels` from a folder.

    Raises:
      UserError: a file is missing or damaged, or is for other images.
    """
    if recipe.classifier == "clusters":
        names = tuple(f"cluster {k}" for k in range(recipe.clusters))
        dataset = dataclasses.replace(dataset, class_names=names)
    soft, predictions = folder / SOFT_LABELS, folder / PREDICTIONS
    return Inferred(
        from_file(dataset, folder / LABELS),
        from_file(dataset, soft) if soft.exists() else None,
        read_predictions(predictions) if predictions.exists() else None,
    )

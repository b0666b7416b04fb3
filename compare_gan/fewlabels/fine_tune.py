"""Stage 2 with an encoder: fine-tuning on the kept labels and on all images, by S4L or FixMatch.

The temperature of the probabilities is fitted on kept labels that the classifier was not trained on. With
`calibration_fits` > 0 the classifier trains on all kept labels, and extra classifiers, each trained without
one fold, predict that fold. With 0, a tenth of the kept labels is held out from the classifier itself. If no
label can be held out, because each class has only one, the temperature is 1.
"""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.origin import is_made, seal
from compare_gan.core.progress import Progress
from compare_gan.core.run_files import CLASSIFIER, CLASSIFY_RUN
from compare_gan.data.base import UNLABELLED, ImageDataset, Images, Split
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.encoder import TrainedEncoder, load_encoder
from compare_gan.fewlabels.calibration import (
    NUM_FOLDS,
    fit_temperature_or_default,
    probabilities,
    stratified_folds,
)
from compare_gan.fewlabels.inferred import Predictions
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.nn.images import TURNS
from compare_gan.training.encoder import Objective, train_encoder
from compare_gan.training.objectives.fixmatch import FixMatch
from compare_gan.training.objectives.s4l import S4L
from compare_gan.training.schedule import TrainSchedule


def fine_tune(
    dataset: ImageDataset, encoder: TrainedEncoder, recipe: LabelRecipe, seed: int, folder: Path
) -> Predictions:
    """Fine-tunes the encoder and predicts all images.

    Writes `classifier.npz`, or reads it if it exists. A class without a label has probability 0.

    Raises:
      UserError: no training image has a label, the encoder is for other images or classes, or the folder
        holds a classifier trained from other inputs.
    """
    labels = dataset.train.labels
    labelled = np.flatnonzero(labels != UNLABELLED)
    if not len(labelled):
        raise UserError(f"{dataset.name}: no training image has a label to learn from")
    if (encoder.spec.image_shape, encoder.spec.classes) != (dataset.spec.image_shape, dataset.class_names):
        raise UserError(
            f"{encoder.name}: trained for images or classes other than those of {dataset.name}; delete it"
        )

    def train_without(held_out: np.ndarray, name: str, seed: int) -> TrainedEncoder:
        used = labels.copy()
        used[held_out] = UNLABELLED
        split = dataclasses.replace(dataset.train, labels=used)
        return _fine_tune(name, split, encoder, recipe, seed, folder)

    folds = calibration_folds(labels, recipe.calibration_fits)
    absent = np.setdiff1d(np.arange(len(dataset.class_names)), labels[labelled])

    def predict(classifier: TrainedEncoder, images: Images, rows: np.ndarray | None = None) -> np.ndarray:
        logits = class_logits(classifier, images, recipe, rows)
        logits[:, absent] = -np.inf
        return logits

    held_out_logits = [np.zeros((0, len(dataset.class_names)))]
    for i, fold in enumerate(folds[: recipe.calibration_fits]):
        if len(fold):
            other = train_without(fold, f"calibrate-{i}", seed + 2 + i)
            held_out_logits.append(predict(other, dataset.train.images, fold))
    path = folder / CLASSIFIER
    held_out = np.empty(0, np.int64) if recipe.calibration_fits else folds[0]
    origin = {
        "images": fingerprint(dataset.train.images),
        "labels": fingerprint(labels),
        "encoder": encoder.sha256,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
    }
    if not is_made(path, origin):
        classifier = train_without(held_out, CLASSIFY_RUN, seed + 1)
        classifier.save(path, dict(task=recipe.classifier, seed=seed))
        seal(path)
    classifier = load_encoder(path)
    if not recipe.calibration_fits:
        held_out_logits.append(predict(classifier, dataset.train.images, held_out))
    temperature = fit_temperature_or_default(np.concatenate(held_out_logits), labels[np.concatenate(folds)])
    test = dataset.test.images
    return Predictions(
        probabilities(predict(classifier, dataset.train.images), temperature),
        probabilities(predict(classifier, test), temperature) if len(test) else None,
        temperature,
    )


def calibration_folds(labels: np.ndarray, fits: int) -> list[np.ndarray]:
    """The indices of labelled images to hold out, one array per calibration fit.

    With `fits` 0 a single array with a tenth of them. The first label of every class is never held out.
    """
    labelled = np.flatnonzero(labels != UNLABELLED)
    fold = stratified_folds(labels[labelled], NUM_FOLDS if fits else 2 * NUM_FOLDS)
    return [labelled[fold == 1 + i] for i in range(max(fits, 1))]


def class_logits(
    classifier: TrainedEncoder, images: Images, recipe: LabelRecipe, rows: np.ndarray | None = None
) -> np.ndarray:
    """Class logits [N, K] float64, averaged over the views used in training: rotations and mirror images.

    Args:
      classifier: the trained classifier.
      images: N images.
      recipe: says which views were used.
      rows: indices of the images to predict, in this order; None: all.
    """
    rotations = range(TURNS if recipe.class_rotations else 1)
    flips = (1, -1) if recipe.training.augmentation.mirror else (1,)
    rows = np.arange(len(images)) if rows is None else rows
    mean_logits = np.zeros((len(rows), len(classifier.spec.classes)))
    progress = Progress("predict", len(rows), unit="images", show_after_s=5.0)
    for start in range(0, len(rows), 1000):
        batch = images[rows[start : start + 1000]]
        views = [np.rot90(batch, k, (1, 2))[:, :, ::flip] for k in rotations for flip in flips]
        logits = [classifier(np.ascontiguousarray(view)).classes for view in views]
        mean_logits[start : start + len(batch)] = np.mean(logits, axis=0, dtype=np.float64)
        progress.update(start + len(batch), {})
    return mean_logits


def _fine_tune(
    name: str, split: Split, encoder: TrainedEncoder, recipe: LabelRecipe, seed: int, folder: Path
) -> TrainedEncoder:
    return train_encoder(
        name,
        encoder.spec,
        split,
        _objective(recipe, split.labels, len(encoder.spec.classes)),
        training=recipe.training,
        run_dir=folder / name,
        schedule=TrainSchedule(recipe.classify_steps, log_every=25, save_every=500),
        seed=seed,
        start=encoder.net,
        labelled=recipe.labelled_batch,
        balanced=recipe.balanced,
        precision=recipe.precision,
    )


def _objective(recipe: LabelRecipe, labels: np.ndarray, classes: int) -> Objective:
    """The training objective of the recipe for the kept labels [N]."""
    if recipe.classifier == "fixmatch":
        counts = np.bincount(labels[labels != UNLABELLED], minlength=classes)
        shares = tuple((counts / counts.sum()).tolist())
        return FixMatch(recipe.training, recipe.labelled_batch, shares, recipe.rotation_weight)
    return S4L(
        recipe.training,
        recipe.labelled_batch,
        recipe.rotation_weight,
        recipe.class_rotations,
        recipe.pseudo_weight,
    )

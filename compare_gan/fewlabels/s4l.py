"""Stage 2 with an encoder: fine-tuned on the kept labels while it keeps learning to predict rotations.

The temperature of its probabilities is fitted on kept labels that it has not seen. Where labels are few, none
is held back from the classifier: other classifiers are trained without a part of them each, and predict that
part (`calibration_fits`). With none of these, a tenth of the kept labels is held back from the classifier
itself. Where no label can be spared, because each class has one, the temperature is 1.
"""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.origin import is_made
from compare_gan.core.progress import Progress
from compare_gan.core.run_files import CLASSIFIER, CLASSIFY_RUN
from compare_gan.data.base import UNLABELLED, ImageDataset, Images, Split
from compare_gan.data.fingerprint import fingerprint
from compare_gan.features.encoder import TrainedEncoder, load_encoder
from compare_gan.fewlabels.calibration import NUM_FOLDS, fitted_temperature, probabilities, stratified_folds
from compare_gan.fewlabels.inferred import Predictions
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.nn.images import TURNS
from compare_gan.train.encoder import S4L, train_encoder
from compare_gan.train.schedule import TrainSchedule


def classify_s4l(
    dataset: ImageDataset, encoder: TrainedEncoder, recipe: LabelRecipe, seed: int, folder: Path
) -> Predictions:
    """S4L: Zhai et al., https://arxiv.org/abs/1905.03670; makes `classifier.npz`, predicts all images.

    A class without a label has probability 0.

    Raises:
      UserError: no label is left, the encoder was made for other images or classes, or the folder holds a
        classifier that was made from something else.
    """
    labels = dataset.train.labels
    labelled = np.flatnonzero(labels != UNLABELLED)
    if not len(labelled):
        raise UserError(f"{dataset.name}: no training image has a label to learn from")
    if (encoder.spec.image_shape, encoder.spec.classes) != (dataset.spec.image_shape, dataset.class_names):
        raise UserError(f"{encoder.name}: made for other images or classes than {dataset.name}; remove it")

    def learn(name: str, unseen: np.ndarray, seed: int) -> TrainedEncoder:
        seen = labels.copy()
        seen[unseen] = UNLABELLED
        split = dataclasses.replace(dataset.train, labels=seen)
        return _fine_tune(name, split, encoder, recipe, seed, folder)

    held_back = calibration_parts(labels, recipe.calibration_fits)
    absent = np.setdiff1d(np.arange(len(dataset.class_names)), labels[labelled])

    def predict(classifier: TrainedEncoder, images: Images, rows: np.ndarray | None = None) -> np.ndarray:
        found = class_logits(classifier, images, recipe, rows)
        found[:, absent] = -np.inf
        return found

    logits = [np.zeros((0, len(dataset.class_names)))]
    for i, unseen in enumerate(held_back[: recipe.calibration_fits]):
        if len(unseen):
            other = learn(f"calibrate-{i}", unseen, seed + 2 + i)
            logits.append(predict(other, dataset.train.images, unseen))
    path = folder / CLASSIFIER
    own = np.empty(0, np.int64) if recipe.calibration_fits else held_back[0]
    origin = {
        "images": fingerprint(dataset.train.images),
        "labels": fingerprint(labels),
        "encoder": encoder.sha256,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
    }
    if not is_made(path, origin):
        classifier = learn(CLASSIFY_RUN, own, seed + 1)
        classifier.save(path, dict(task="rotation and few labels", seed=seed))
    classifier = load_encoder(path)
    if not recipe.calibration_fits:
        logits.append(predict(classifier, dataset.train.images, own))
    temperature = fitted_temperature(np.concatenate(logits), labels[np.concatenate(held_back)])
    test = dataset.test.images
    return Predictions(
        probabilities(predict(classifier, dataset.train.images), temperature),
        probabilities(predict(classifier, test), temperature) if len(test) else None,
        temperature,
    )


def calibration_parts(labels: np.ndarray, fits: int) -> list[np.ndarray]:
    """Which labelled images each of the calibrating classifiers must not see; without any, a tenth.

    The first label of every class is always seen.
    """
    labelled = np.flatnonzero(labels != UNLABELLED)
    part = stratified_folds(labels[labelled], NUM_FOLDS if fits else 2 * NUM_FOLDS)
    return [labelled[part == 1 + i] for i in range(max(fits, 1))]


def class_logits(
    classifier: TrainedEncoder, images: Images, recipe: LabelRecipe, rows: np.ndarray | None = None
) -> np.ndarray:
    """[N, K] float64, averaged over the views in which classes were learned: turns, mirror images.

    With `rows` of some images only, in that order.
    """
    turns = range(TURNS if recipe.class_rotations else 1)
    flips = (1, -1) if recipe.training.augmentation.mirror else (1,)
    rows = np.arange(len(images)) if rows is None else rows
    found = np.zeros((len(rows), len(classifier.spec.classes)))
    progress = Progress("predict", len(rows), unit="images", show_after_s=5.0)
    for start in range(0, len(rows), 1000):
        batch = images[rows[start : start + 1000]]
        views = [np.rot90(batch, k, (1, 2))[:, :, ::flip] for k in turns for flip in flips]
        logits = [classifier(np.ascontiguousarray(view)).classes for view in views]
        found[start : start + len(batch)] = np.mean(logits, axis=0, dtype=np.float64)
        progress.update(start + len(batch), {})
    return found


def _fine_tune(
    name: str, split: Split, encoder: TrainedEncoder, recipe: LabelRecipe, seed: int, folder: Path
) -> TrainedEncoder:
    objective = S4L(
        recipe.training,
        recipe.labelled_batch,
        recipe.rotation_weight,
        recipe.class_rotations,
        recipe.pseudo_weight,
    )
    return train_encoder(
        name,
        encoder.spec,
        split,
        objective,
        training=recipe.training,
        run_dir=folder / name,
        schedule=TrainSchedule(recipe.classify_steps, log_every=25, save_every=500),
        seed=seed,
        start=encoder.net,
        labelled=recipe.labelled_batch,
    )

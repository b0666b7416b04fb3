"""Stage 2 with an encoder: fine-tuned by the kept labels while it goes on telling rotations apart.

How sure the classifier may be is found on kept labels that it has not seen. Where labels are few they are
too dear to be held back: then other classifiers are trained without a part of them each, and asked about
that part (`calibration_fits`); with none of these a tenth is held back from the classifier itself.
"""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.progress import Progress
from compare_gan.data.base import UNLABELLED, ImageDataset, Images, Split
from compare_gan.features.encoder import TrainedEncoder, load_encoder
from compare_gan.fewlabels.calibration import PARTS, deal, fit_temperature, probabilities
from compare_gan.fewlabels.inferred import Predictions
from compare_gan.fewlabels.recipe import LabelRecipe
from compare_gan.nn.images import TURNS
from compare_gan.train.encoder import S4L, train_encoder
from compare_gan.train.loop import Schedule

CLASSIFIER = "classifier.npz"


def classify_s4l(
    dataset: ImageDataset, encoder: TrainedEncoder, recipe: LabelRecipe, seed: int, folder: Path
) -> Predictions:
    """S4L: Zhai et al., https://arxiv.org/abs/1905.03670; `classifier.npz` and what it says of all images.

    Raises:
      UserError: no label is left, or the encoder was made for other images or classes.
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
    logits = [np.zeros((0, len(dataset.class_names)))]
    for i, unseen in enumerate(held_back[: recipe.calibration_fits]):
        if len(unseen):
            other = learn(f"calibrate-{i}", unseen, seed + 2 + i)
            logits.append(class_logits(other, dataset.train.images, recipe, unseen))
    path = folder / CLASSIFIER
    own = np.empty(0, np.int64) if recipe.calibration_fits else held_back[0]
    if not path.exists():
        classifier = learn("classify", own, seed + 1)
        classifier.save(path, dict(task="rotation and few labels", seed=seed))
    classifier = load_encoder(path)
    if not recipe.calibration_fits:
        logits.append(class_logits(classifier, dataset.train.images, recipe, own))
    temperature = fit_temperature(np.concatenate(logits), labels[np.concatenate(held_back)])
    test = dataset.test.images
    return Predictions(
        probabilities(class_logits(classifier, dataset.train.images, recipe), temperature),
        probabilities(class_logits(classifier, test, recipe), temperature) if len(test) else None,
        temperature,
    )


def calibration_parts(labels: np.ndarray, fits: int) -> list[np.ndarray]:
    """Which labelled images each of the calibrating classifiers must not see; without any, a tenth.

    The first label of every class is always seen.
    """
    labelled = np.flatnonzero(labels != UNLABELLED)
    part = deal(labels[labelled], PARTS if fits else 2 * PARTS)
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
    progress = Progress("predict", len(rows), unit="images", patience=5.0)
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
        schedule=Schedule(recipe.classify_steps, log_every=25, save_every=500),
        seed=seed,
        start=encoder.net,
        labelled=recipe.labelled_batch,
    )

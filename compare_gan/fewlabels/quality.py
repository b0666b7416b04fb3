"""Quality of inferred labels, measured against true labels. Reports only; no stage reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy

from compare_gan.core.files import write_json
from compare_gan.core.run_files import QUALITY
from compare_gan.data.base import UNLABELLED, ImageDataset, hard_labels, hardened
from compare_gan.data.fingerprint import nothing_held_out
from compare_gan.fewlabels.calibration import calibration_error
from compare_gan.fewlabels.inferred import Inferred

NUM_LEAST_CERTAIN = 40  # listed images


def write_quality(
    full: ImageDataset, inferred: Inferred, folder: Path, few: ImageDataset | None = None
) -> dict[str, Any]:
    """Writes the result of `label_quality` to `label_quality.json` and returns it."""
    quality = label_quality(full, inferred, few)
    write_json(folder / QUALITY, quality)
    return quality


def label_quality(full: ImageDataset, inferred: Inferred, few: ImageDataset | None = None) -> dict[str, Any]:
    """Compares inferred labels with true labels that were not used to infer them.

    Args:
      full: the data set with all known labels.
      inferred: the data set with inferred labels.
      few: the data set with the kept labels, which the others were inferred from. Images with a kept label
        are excluded from the accuracy. None: no label was kept, so every known label counts.

    Returns:
      A JSON object. On training images:

        hidden_labels: number of known labels that were not kept; if 0, then accuracy, confusion and
          calibration_error are None
        accuracy: share of the images with a hidden label whose inferred label is correct
        confusion: [true classes, inferred classes] counts of these images
        calibration_error: expected calibration error on these images
        class_names: names of the inferred classes
        balance: number of inferred labels of each class, over all training images
        kept_balance: number of kept labels of each class; absent without `few`
        true_balance: number of images of each class; absent unless every label is known
        unlabelled: number of images without an inferred label, because the prediction was too uncertain
        temperature: the temperature that logits were divided by
        least_certain: lists index, confidence, inferred and true class of some images, least certain first

      `test_labels` is the number of held-out images with a label, 0 if the test images are the training
      images. `test` holds accuracy, confusion and calibration_error on them; absent if there are none, or if
      there are no predictions for them.

      For clusters, accuracy is that of the best one-to-one assignment of clusters to classes, `matching`;
      `purity` is the accuracy if each cluster predicts its most frequent class, and `mutual_information` is
      normalised to 0..1.
    """
    clusters = inferred.soft is None and inferred.hard.class_names != full.class_names
    names, predicted = inferred.hard.class_names, inferred.hard.train.labels
    true, true_test = hard_labels(full.train), hard_labels(full.test)
    hidden = true != UNLABELLED
    if few is not None:
        hidden &= few.train.labels == UNLABELLED
    counts = confusion(true[hidden], predicted[hidden], len(full.class_names), len(names))
    matching = match_clusters(counts) if clusters else None
    num_test = 0 if nothing_held_out(full) else int((true_test != UNLABELLED).sum())
    quality: dict[str, Any] = {
        "hidden_labels": int(hidden.sum()),
        "test_labels": num_test,
        "accuracy": _accuracy(counts, matching),
        "confusion": counts.tolist() if counts.any() else None,
        "class_names": list(names),
        "balance": _balance(predicted, len(names)),
        "unlabelled": int((predicted == UNLABELLED).sum()),
    }
    if few is not None:
        quality["kept_balance"] = _balance(few.train.labels, len(full.class_names))
    if (true != UNLABELLED).all():
        quality["true_balance"] = _balance(true, len(full.class_names))
    if matching is not None and counts.any():
        from sklearn.metrics import normalized_mutual_info_score  # slow to import

        quality |= {
            "matching": matching.tolist(),
            "purity": float(counts.max(0).sum() / counts.sum()),
            "mutual_information": float(normalized_mutual_info_score(true[hidden], predicted[hidden])),
        }
    predictions = inferred.predictions
    if predictions is None:
        return quality
    if not clusters:
        quality["temperature"] = predictions.temperature
        quality["calibration_error"] = _calibration(predictions.train[hidden], true[hidden])
        quality["least_certain"] = least_certain(predictions.train, true)
    if predictions.test is not None and num_test:
        test_counts = confusion(true_test, hardened(predictions.test), len(full.class_names), len(names))
        quality["test"] = {"accuracy": _accuracy(test_counts, matching), "confusion": test_counts.tolist()}
        if not clusters:
            quality["test"]["calibration_error"] = _calibration(predictions.test, true_test)
    return quality


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int, predicted_classes: int) -> np.ndarray:
    """The confusion matrix [classes, predicted_classes] of labels [N]; pairs with a -1 are not counted."""
    counts = np.zeros((classes, predicted_classes), np.int64)
    known = (true != UNLABELLED) & (predicted != UNLABELLED)
    np.add.at(counts, (true[known], predicted[known]), 1)
    return counts


def match_clusters(counts: np.ndarray) -> np.ndarray:
    """The one-to-one assignment of clusters to classes with the highest accuracy (Hungarian algorithm).

    Args:
      counts: [classes, clusters] confusion matrix.

    Returns:
      [clusters] the class of each cluster; -1 = unassigned.
    """
    classes, clusters = scipy.optimize.linear_sum_assignment(counts, maximize=True)
    matching = np.full(counts.shape[1], -1)
    matching[clusters] = classes
    return matching


def least_certain(predicted: np.ndarray, true: np.ndarray, count: int = NUM_LEAST_CERTAIN) -> dict[str, list]:
    """Index, confidence, inferred and true class of the `count` images with the least certain prediction."""
    confidence = predicted.max(1)
    index = np.argsort(confidence, kind="stable")[:count]
    return {
        "index": index.tolist(),
        "confidence": [round(float(p), 4) for p in confidence[index]],
        "inferred": predicted[index].argmax(1).tolist(),
        "true": true[index].tolist(),
    }


def _accuracy(counts: np.ndarray, matching: np.ndarray | None = None) -> float | None:
    """The accuracy of a confusion matrix; None if it is empty."""
    if not counts.any():
        return None
    columns = np.arange(counts.shape[1])
    rows = columns if matching is None else matching
    return float(counts[rows, columns][rows >= 0].sum() / counts.sum())


def _balance(labels: np.ndarray, classes: int) -> list[int]:
    """The number of labels of each class."""
    return np.bincount(labels[labels != UNLABELLED], minlength=classes).tolist()


def _calibration(predicted: np.ndarray, true: np.ndarray) -> float | None:
    """The expected calibration error on images with a true label; None if there are none."""
    known = true != UNLABELLED
    return calibration_error(predicted[known], true[known]) if known.any() else None

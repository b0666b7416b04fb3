"""How good inferred labels are, against the true ones. For people to read, for nothing to learn from."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize
from sklearn.metrics import normalized_mutual_info_score

from compare_gan.core.files import write_json
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.fewlabels.calibration import calibration_error
from compare_gan.fewlabels.inferred import Inferred

QUALITY = "label_quality.json"
LEAST_CERTAIN = 40  # images that are listed


def write_quality(full: ImageDataset, inferred: Inferred, folder: Path) -> dict[str, Any]:
    """`label_quality` into `label_quality.json`."""
    quality = label_quality(full, inferred)
    write_json(folder / QUALITY, quality)
    return quality


def label_quality(full: ImageDataset, inferred: Inferred) -> dict[str, Any]:
    """Inferred labels against the true ones, wherever both are known.

    Args:
      full: the data set under its true labels.
      inferred: the same under inferred ones.

    Returns:
      What goes into a JSON file. Of training images:

        accuracy: share of the inferred labels that are right
        confusion: [true classes, inferred classes] counts
        class_names: of the inferred classes
        balance: how often each of them was inferred
        unlabelled: images without an inferred label, since it was too uncertain
        calibration_error: of the probabilities, of all images
        temperature: that logits were divided by
        least_certain: lists index, confidence, inferred and true class of some images, the worst first
        test: accuracy, confusion and calibration_error on test images

      What is not known is left out. Clusters have no right or wrong, so there the accuracy is that of the
      best matching of clusters with classes, one to one, `matching`; beside it `purity` is the accuracy
      where each cluster means its most frequent class, and `mutual_information` is normalised, 0 to 1.
    """
    clusters = inferred.soft is None and inferred.hard.class_names != full.class_names
    names = inferred.hard.class_names
    counts = confusion(full.train.labels, inferred.hard.train.labels, len(full.class_names), len(names))
    matching = match(counts) if clusters else None
    quality: dict[str, Any] = {
        "accuracy": _accuracy(counts, matching),
        "confusion": counts.tolist(),
        "class_names": list(names),
        "balance": np.bincount(inferred.hard.train.labels + 1, minlength=len(names) + 1)[1:].tolist(),
        "unlabelled": int((inferred.hard.train.labels == UNLABELLED).sum()),
    }
    if matching is not None:
        known = full.train.labels != UNLABELLED
        quality |= {
            "matching": matching.tolist(),
            "purity": float(counts.max(0).sum() / max(counts.sum(), 1)),
            "mutual_information": float(
                normalized_mutual_info_score(full.train.labels[known], inferred.hard.train.labels[known])
            ),
        }
    found = inferred.predictions
    if found is None:
        return quality
    if not clusters:
        quality["temperature"] = found.temperature
        quality["calibration_error"] = _calibration(found.train, full.train.labels)
        quality["least_certain"] = least_certain(found.train, full.train.labels)
    if found.test is not None:
        labels = found.test if found.test.ndim == 1 else found.test.argmax(1)
        seen = confusion(full.test.labels, labels, len(full.class_names), len(names))
        quality["test"] = {"accuracy": _accuracy(seen, matching), "confusion": seen.tolist()}
        if not clusters:
            quality["test"]["calibration_error"] = _calibration(found.test, full.test.labels)
    return quality


def confusion(true: np.ndarray, given: np.ndarray, classes: int, given_classes: int) -> np.ndarray:
    """How often [classes, given_classes] a true label and a given one [N] meet; -1 is none."""
    counts = np.zeros((classes, given_classes), np.int64)
    known = (true != UNLABELLED) & (given != UNLABELLED)
    np.add.at(counts, (true[known], given[known]), 1)
    return counts


def match(counts: np.ndarray) -> np.ndarray:
    """The class of each cluster, -1 for none, such that most images [classes, clusters] are right.

    No class has two clusters: the Hungarian method.
    """
    classes, clusters = optimize.linear_sum_assignment(counts, maximize=True)
    matching = np.full(counts.shape[1], -1)
    matching[clusters] = classes
    return matching


def least_certain(predicted: np.ndarray, true: np.ndarray, count: int = LEAST_CERTAIN) -> dict[str, list]:
    """The images whose label is least certain: their numbers, confidence, inferred and true class."""
    sure = predicted.max(1)
    index = np.argsort(sure, kind="stable")[:count]
    return {
        "index": index.tolist(),
        "confidence": [round(float(p), 4) for p in sure[index]],
        "inferred": predicted[index].argmax(1).tolist(),
        "true": true[index].tolist(),
    }


def _accuracy(counts: np.ndarray, matching: np.ndarray | None = None) -> float:
    columns = np.arange(counts.shape[1])
    rows = columns if matching is None else matching
    return float(counts[rows, columns][rows >= 0].sum() / max(counts.sum(), 1))


def _calibration(predicted: np.ndarray, true: np.ndarray) -> float | None:
    known = true != UNLABELLED
    return calibration_error(predicted[known], true[known]) if known.any() else None

"""How good inferred labels are, measured against true labels. For people to read; nothing learns from it."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize
from sklearn.metrics import normalized_mutual_info_score

from compare_gan.core.files import write_json
from compare_gan.core.run_files import QUALITY
from compare_gan.data.base import UNLABELLED, ImageDataset, hard_labels, hardened
from compare_gan.data.fingerprint import nothing_held_out
from compare_gan.fewlabels.calibration import calibration_error
from compare_gan.fewlabels.inferred import Inferred

LEAST_CERTAIN = 40  # images that are listed


def write_quality(
    full: ImageDataset, inferred: Inferred, folder: Path, few: ImageDataset | None = None
) -> dict[str, Any]:
    """`label_quality` into `label_quality.json`."""
    quality = label_quality(full, inferred, few)
    write_json(folder / QUALITY, quality)
    return quality


def label_quality(full: ImageDataset, inferred: Inferred, few: ImageDataset | None = None) -> dict[str, Any]:
    """Inferred labels against the true ones that they were not inferred from.

    Args:
      full: the data set under all labels that are known.
      inferred: the same under inferred ones.
      few: the same under the kept labels, which the others were inferred from. They say nothing about
        how good inference is, so they are not counted. None: no label was kept, every known one counts.

    Returns:
      What goes into a JSON file. Of training images:

        hidden_labels: how many labels are known and were not kept; where there are none, accuracy,
          confusion and calibration_error are None
        accuracy: share of these images whose inferred label is right
        confusion: [true classes, inferred classes] counts of them
        calibration_error: of their probabilities
        class_names: of the inferred classes
        balance: how often each class was inferred, over all training images
        kept_balance: how many labels of each class were kept; left out without `few`
        true_balance: how often each class occurs; left out unless every label is known
        unlabelled: images without an inferred label, since it was too uncertain
        temperature: that logits were divided by
        least_certain: lists index, confidence, inferred and true class of some images, the worst first

      test_labels is the number of held-out images with a label, 0 where the test images are the training
      images; `test` holds accuracy, confusion and
      calibration_error on them; left out where there are none or they have no predictions.

      Clusters have no right or wrong, so there the accuracy is that of the best matching of clusters with
      classes, one to one, `matching`; beside it `purity` is the accuracy where each cluster means its most
      frequent class, and `mutual_information` is normalised, 0 to 1.
    """
    clusters = inferred.soft is None and inferred.hard.class_names != full.class_names
    names, given = inferred.hard.class_names, inferred.hard.train.labels
    true, true_test = hard_labels(full.train), hard_labels(full.test)
    hidden = true != UNLABELLED
    if few is not None:
        hidden &= few.train.labels == UNLABELLED
    counts = confusion(true[hidden], given[hidden], len(full.class_names), len(names))
    matching = match(counts) if clusters else None
    tests = 0 if nothing_held_out(full) else int((true_test != UNLABELLED).sum())
    quality: dict[str, Any] = {
        "hidden_labels": int(hidden.sum()),
        "test_labels": tests,
        "accuracy": _accuracy(counts, matching),
        "confusion": counts.tolist() if counts.any() else None,
        "class_names": list(names),
        "balance": _balance(given, len(names)),
        "unlabelled": int((given == UNLABELLED).sum()),
    }
    if few is not None:
        quality["kept_balance"] = _balance(few.train.labels, len(full.class_names))
    if (true != UNLABELLED).all():
        quality["true_balance"] = _balance(true, len(full.class_names))
    if matching is not None and counts.any():
        quality |= {
            "matching": matching.tolist(),
            "purity": float(counts.max(0).sum() / counts.sum()),
            "mutual_information": float(normalized_mutual_info_score(true[hidden], given[hidden])),
        }
    found = inferred.predictions
    if found is None:
        return quality
    if not clusters:
        quality["temperature"] = found.temperature
        quality["calibration_error"] = _calibration(found.train[hidden], true[hidden])
        quality["least_certain"] = least_certain(found.train, true)
    if found.test is not None and tests:
        seen = confusion(true_test, hardened(found.test), len(full.class_names), len(names))
        quality["test"] = {"accuracy": _accuracy(seen, matching), "confusion": seen.tolist()}
        if not clusters:
            quality["test"]["calibration_error"] = _calibration(found.test, true_test)
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


def _accuracy(counts: np.ndarray, matching: np.ndarray | None = None) -> float | None:
    """Share of the counts that are right; None where nothing was counted."""
    if not counts.any():
        return None
    columns = np.arange(counts.shape[1])
    rows = columns if matching is None else matching
    return float(counts[rows, columns][rows >= 0].sum() / counts.sum())


def _balance(labels: np.ndarray, classes: int) -> list[int]:
    return np.bincount(labels[labels != UNLABELLED], minlength=classes).tolist()


def _calibration(predicted: np.ndarray, true: np.ndarray) -> float | None:
    known = true != UNLABELLED
    return calibration_error(predicted[known], true[known]) if known.any() else None

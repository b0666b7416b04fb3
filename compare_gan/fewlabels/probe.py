"""Probes: how well self-supervised features separate the classes. Reports only; no stage reads them."""

from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import write_json
from compare_gan.core.run_files import PROBE
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.fewlabels.linear import classify_linear
from compare_gan.fewlabels.representation import Features


def write_probe(few: ImageDataset, features: Features, folder: Path, neighbours: int = 20) -> dict[str, Any]:
    """Writes the result of `probe` to `probe.json` and returns it."""
    result = probe(few, features, neighbours)
    write_json(folder / PROBE, result)
    return result


def probe(few: ImageDataset, features: Features, neighbours: int = 20) -> dict[str, Any]:
    """Test accuracy of a linear classifier and of k nearest neighbours on fixed features.

    Both are fitted to the kept labels only; no hidden label is read. The accuracies are None if no test image
    has a label.

    Args:
      few: the data set with the kept labels.
      features: those of its training and test images.
      neighbours: k; at most the number of labelled images is used.

    Returns:
      The accuracies and the counts that they are based on, to be written as JSON.

    Raises:
      UserError: there are no test features, or all labels are of one class.
    """
    if features.test is None:
        raise UserError(f'{features.name}: a probe needs features of the test images, the array "test"')
    labelled = np.flatnonzero(few.train.labels != UNLABELLED)
    neighbours = min(neighbours, len(labelled))
    has_label = few.test.labels != UNLABELLED
    result: dict[str, Any] = {"linear_accuracy": None, "neighbours_accuracy": None}
    if has_label.any():
        known, test = few.train.labels[labelled], few.test.labels[has_label]
        linear = classify_linear(features, few.train.labels, len(few.class_names)).test
        assert linear is not None
        nearest = nearest_neighbours(features.train[labelled], known, features.test[has_label], neighbours)
        result["linear_accuracy"] = float(np.mean(linear.argmax(1)[has_label] == test))
        result["neighbours_accuracy"] = float(np.mean(nearest == test))
    return result | {"neighbours": neighbours, "labels": len(labelled), "test_images": int(has_label.sum())}


def nearest_neighbours(
    known: np.ndarray, labels: np.ndarray, features: np.ndarray, neighbours: int
) -> np.ndarray:
    """k-nearest-neighbour classification by cosine distance.

    Args:
      known: [N, F] features of labelled images.
      labels: [N] their classes.
      features: [M, F] features to classify.
      neighbours: k.

    Returns:
      [M] the majority class of the neighbours; ties go to the class with the smallest total distance.
    """

    def votes(distances: np.ndarray) -> np.ndarray:  # cosine distances; the small term breaks ties
        return 1 + 1e-6 * (1 - distances)

    from sklearn.neighbors import KNeighborsClassifier  # slow to import

    model = KNeighborsClassifier(neighbours, metric="cosine", weights=votes)
    return model.fit(known, labels).predict(features)

"""How well features that were learned without labels separate the classes. For people, to see progress."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from compare_gan.core.errors import UserError
from compare_gan.core.files import write_json
from compare_gan.core.run_files import PROBE
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.fewlabels.linear import classify_linear
from compare_gan.fewlabels.representation import Features


def write_probe(few: ImageDataset, features: Features, folder: Path, neighbours: int = 20) -> dict[str, Any]:
    """`probe` into `probe.json`, which no stage reads."""
    found = probe(few, features, neighbours)
    write_json(folder / PROBE, found)
    return found


def probe(few: ImageDataset, features: Features, neighbours: int = 20) -> dict[str, Any]:
    """Accuracy of a linear classifier and of nearest neighbours on labelled test images.

    Both learn from the kept labels only, and test labels only count what is right: the probe reads no
    hidden label. Where no test image has a label, the accuracies are None.

    Args:
      few: the data set with the kept labels.
      features: of its training and test images.
      neighbours: how many of them vote; fewer where fewer images are labelled.

    Raises:
      UserError: there are no test features, or labels of one class only.
    """
    if features.test is None:
        raise UserError(f"{features.name}: a probe needs features of the test images, an array test")
    labelled = np.flatnonzero(few.train.labels != UNLABELLED)
    neighbours = min(neighbours, len(labelled))
    asked = few.test.labels != UNLABELLED
    found: dict[str, Any] = {"linear_accuracy": None, "neighbours_accuracy": None}
    if asked.any():
        known, test = few.train.labels[labelled], few.test.labels[asked]
        linear = classify_linear(features, few.train.labels, len(few.class_names)).test
        assert linear is not None
        nearest = nearest_neighbours(features.train[labelled], known, features.test[asked], neighbours)
        found["linear_accuracy"] = float(np.mean(linear.argmax(1)[asked] == test))
        found["neighbours_accuracy"] = float(np.mean(nearest == test))
    return found | {"neighbours": neighbours, "labels": len(labelled), "test_images": int(asked.sum())}


def nearest_neighbours(
    known: np.ndarray, labels: np.ndarray, features: np.ndarray, neighbours: int
) -> np.ndarray:
    """The most frequent class [M] among the known features [N, F] nearest in angle to features [M, F].

    Where classes are equally frequent, the one whose members are nearest in sum.
    """

    def votes(distances: np.ndarray) -> np.ndarray:  # distances of cosine: 1 - likeness
        return 1 + 1e-6 * (1 - distances)

    model = KNeighborsClassifier(neighbours, metric="cosine", weights=votes)
    return model.fit(known, labels).predict(features)

"""How good inferred labels are, against the true ones. For people to read, for nothing to learn from."""

from pathlib import Path
from typing import Any

import numpy as np

from compare_gan.core.files import write_json
from compare_gan.data.base import UNLABELLED, ImageDataset
from compare_gan.fewlabels.inferred import Inferred

QUALITY = "label_quality.json"


def write_quality(full: ImageDataset, inferred: Inferred, folder: Path) -> dict[str, Any]:
    """`label_quality` into `label_quality.json`."""
    quality = label_quality(full, inferred)
    write_json(folder / QUALITY, quality)
    return quality


def label_quality(full: ImageDataset, inferred: Inferred) -> dict[str, Any]:
    """Inferred labels against all true ones of training and test images.

    Args:
      full: the data set under its true labels.
      inferred: the same under inferred ones.

    Returns:
      What goes into a JSON file: `accuracy`, `confusion` (true classes by inferred ones), `class_names`
      and `balance` (labels of each class) on training images.
    """
    confusion = np.zeros((len(full.class_names),) * 2, int)
    true, given = full.train.labels, inferred.hard.train.labels
    known = (true != UNLABELLED) & (given != UNLABELLED)
    np.add.at(confusion, (true[known], given[known]), 1)
    return {
        "accuracy": float(np.trace(confusion) / max(confusion.sum(), 1)),
        "confusion": confusion.tolist(),
        "class_names": list(full.class_names),
        "balance": confusion.sum(0).tolist(),
    }

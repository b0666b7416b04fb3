"""The results of label inference: predictions for all images, and the data set with inferred labels."""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.records import MAX_CLASSES
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import ImageDataset


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for all images: calibrated class probabilities, or cluster indices."""

    train: np.ndarray  # [N, K] float32 probabilities, or [N] int32 clusters
    test: np.ndarray | None  # the same for the test images; None: not available
    temperature: float = 1.0  # the logits were divided by it

    def save(self, path: Path) -> None:
        """Writes an `.npz` file, atomically."""
        arrays = {"train": self.train, "temperature": np.float64(self.temperature)}
        with atomic(path) as file:
            np.savez(file, **arrays if self.test is None else arrays | {"test": self.test})  # type: ignore[arg-type]


def read_predictions(path: Path) -> Predictions:
    """Reads a file that `Predictions.save` wrote.

    Raises:
      UserError: the file cannot be read, or holds no predictions.
    """
    arrays = plain_arrays(path)
    if not {"train", "temperature"} <= arrays.keys():
        raise UserError(f"{path}: not a predictions file; delete it to compute the predictions again")
    for values in (arrays["train"], arrays.get("test", arrays["train"])):
        clusters = values.ndim == 1 and values.dtype.kind in "iu"
        if (
            not (clusters or values.ndim == 2 and values.dtype.kind == "f")
            or not ((values >= 0) & (values <= (MAX_CLASSES if clusters else 1.001))).all()
        ):
            raise UserError(f"{path}: has no probabilities or clusters; delete it to compute them again")
    if arrays["temperature"].shape or arrays["temperature"].dtype.kind not in "fiu":
        raise UserError(f"{path}: its temperature is not a number; delete it to compute it again")
    return Predictions(arrays["train"], arrays.get("test"), float(arrays["temperature"]))


@dataclasses.dataclass(frozen=True, eq=False)
class Inferred:
    """A data set with inferred training labels.

    Its classes are the true classes, or the clusters. Test labels are always the true ones.
    """

    hard: ImageDataset  # labels [N] int32; -1 = unlabelled: the prediction is too uncertain
    soft: ImageDataset | None  # labels [N, K] float32; zero rows = unlabelled; None for clusters
    predictions: Predictions | None  # None: the labels come from the user's file

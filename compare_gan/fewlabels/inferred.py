"""What stage 2 leaves behind: predictions for all images, and label files made of them."""

import dataclasses
from pathlib import Path

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import ImageDataset


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier says of all images: calibrated probabilities, or clusters without."""

    train: np.ndarray  # [N, K] float32 probabilities, or [N] int32 clusters
    test: np.ndarray | None  # the same of the test images; None: it cannot say
    temperature: float = 1.0  # that logits were divided by

    def save(self, path: Path) -> None:
        arrays = {"train": self.train, "temperature": np.float64(self.temperature)}
        with atomic(path) as file:
            np.savez(file, **arrays if self.test is None else arrays | {"test": self.test})  # type: ignore[arg-type]


def read_predictions(path: Path) -> Predictions:
    """Reads what `Predictions.save` wrote.

    Raises:
      UserError: it cannot be read, or is no such file.
    """
    arrays = plain_arrays(path)
    if not {"train", "temperature"} <= arrays.keys():
        raise UserError(f"{path}: not a file of predictions; remove it to have it made again")
    return Predictions(arrays["train"], arrays.get("test"), float(arrays["temperature"]))


@dataclasses.dataclass(frozen=True, eq=False)
class Inferred:
    """The data set under inferred labels.

    Its classes are the true ones, or the clusters; test labels stay the true ones in either case.
    """

    hard: ImageDataset  # labels [N] int32; -1 where the label is too uncertain
    soft: ImageDataset | None  # labels [N, K] float32; zero rows where uncertain; None for clusters
    predictions: Predictions | None  # None: the label file is somebody else's

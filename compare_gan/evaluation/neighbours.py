"""The training images that are nearest to given images, and the distances that are usual.

Shape letters: N training images, T held-out images, M other images, F features, k neighbours.
"""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compare_gan.core.words import first_few
from compare_gan.data.base import ImageDataset, Images, Split
from compare_gan.evaluation.neighbour_sheet import NeighbourSheet
from compare_gan.evaluation.sets import cached_features
from compare_gan.features.base import Extractor
from compare_gan.features.encoder import TrainedEncoder
from compare_gan.metrics.context import EvalContext, require
from compare_gan.metrics.neighbours import Neighbours, nearest

NEIGHBOURS = 7
RANDOM = "random"  # name of the extractor with random weights
MAX_HELD_OUT = 2000  # images that show which distances are usual
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingImages:
    """The training images of a GAN with their features, among which neighbours are found.

    The features are extracted once, by `training_images`.
    """

    split: Split  # images [N, H, W, C] and labels of the training images
    features: np.ndarray  # [N, F]
    test: Split  # held-out images
    test_features: np.ndarray  # [T, F]
    extractor: Extractor

    def nearest(self, images: Images, k: int = NEIGHBOURS) -> Neighbours:
        """The k training images nearest to each of `images` by the Euclidean distance of features.

        Args:
          images: uint8 [M, H, W, C], for example generated ones.
          k: the number of neighbours; at most N of them are returned.

        Returns:
          `rows` [M, k], the indices of training images, nearest first, and their `distances` [M, k].
        """
        return nearest(self.extractor(images).features, self.features, min(k, len(self.features)))

    @functools.cached_property
    def held_out_distances(self) -> np.ndarray:
        """The distances of held-out images to their nearest training image, ascending: at most 2,000.

        No held-out image is a copy, so they are the scale for the distances of generated images.
        """
        count = min(len(self.test), MAX_HELD_OUT)
        drawn = np.sort(np.random.default_rng(0).choice(len(self.test), count, replace=False))
        return np.sort(nearest(self.test_features[drawn], self.features, 1).distances[:, 0])

    def share_nearer(self, distances: np.ndarray) -> np.ndarray:
        """The share of held-out images that are nearer to a training image than each of the distances."""
        return np.searchsorted(self.held_out_distances, distances) / len(self.held_out_distances)

    def sheet(self, images: np.ndarray, k: int = NEIGHBOURS) -> NeighbourSheet:
        """Generated images uint8 [M, H, W, C] beside their k nearest training images."""
        found = self.nearest(images, k)
        return NeighbourSheet(
            images,
            images_at(self.split.images, found.rows),
            found.distances,
            self.share_nearer(found.distances[:, 0]),
            self.held_out_distances,
            self.extractor.name,
        )


def images_at(images: Images, rows: np.ndarray) -> np.ndarray:
    """The images [M, k, H, W, C] at indices [M, k], read once each."""
    unique, inverse = np.unique(rows, return_inverse=True)
    return images[unique][inverse.reshape(rows.shape)]


def training_images(dataset: ImageDataset, extractor: Extractor, cache: Path | None = None) -> TrainingImages:
    """Extracts the features of the training images of a data set.

    Args:
      dataset: the data that a GAN was trained on, see `Run.training_images`.
      extractor: the feature extractor.
      cache: folder for the features, which later calls read; None: they are not kept.

    Raises:
      UserError: the extractor does not support images of this size.
    """
    warn_if_features_do_not_fit(extractor, dataset.class_names)
    train, test = (cached_features(split, extractor, cache) for split in (dataset.train, dataset.test))
    return TrainingImages(
        dataset.train, train.outputs.features, dataset.test, test.outputs.features, extractor
    )


def warn_if_features_do_not_fit(extractor: Extractor, class_names: Sequence[str]) -> None:
    """Warns if images that are near in the features of an extractor need not look alike.

    Args:
      extractor: the feature extractor.
      class_names: of the training images.
    """
    known = {name for name in class_names if not name.isdecimal()}
    if extractor.name == RANDOM:
        reason = "come from random weights"
    elif isinstance(extractor, TrainedEncoder) and known and known.isdisjoint(extractor.class_names):
        reason = (
            f"were learned to tell {first_few(extractor.class_names, 3)} apart, not the classes of the data"
        )
    else:
        return
    log.warning(
        "the features of %s %s: what is near in them need not be a copy; choose an extractor for these "
        "images",
        extractor.name,
        reason,
    )


def training_images_of(context: EvalContext, extractor: Extractor) -> TrainingImages:
    """The training images that a GAN is scored with; features that a metric has extracted are used again."""
    train, test = require(context.train, "training images"), context.real
    splits = [
        Split(each.images, np.zeros(0) if each.labels is None else each.labels) for each in (train, test)
    ]
    return TrainingImages(splits[0], train.outputs.features, splits[1], test.outputs.features, extractor)

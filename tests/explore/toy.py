"""A generator whose images say what they were made of."""

from types import SimpleNamespace

import numpy as np

from compare_gan.core.sampler import Sampler
from compare_gan.data.base import Split
from compare_gan.evaluation.neighbours import TrainingImages
from compare_gan.explore.views import Explorer

NAMES = ("cat", "<b>dog</b>", "-7", "it's")
NONE = "There are no training images."


def sampler(side=4, names=NAMES, prior="uniform"):
    """Images of one colour: the sum of z, the weight of class 1, and that of the last class."""

    def latents(seed, numbers):
        return np.stack([np.full(len(numbers), seed % 100), numbers + 1], 1).astype(np.float32) / 255

    def generator(z, y=None):
        y = np.zeros((len(z), 2)) if y is None else y
        colour = np.stack([z.sum(1), y[:, 1], y[:, -1]], 1)
        return np.broadcast_to(colour[:, None, None], (len(z), side, side, 3))

    shape = (side, side, 3)
    return Sampler(latents, generator, tuple(names), shape, {"name": prior, "mean": 0.0, "stddev": 1.0})


def explorer(training=NONE, **options):
    words = ["compare-gan", "sample", "runs/a b"]
    return Explorer(sampler(**options), "toy", ["a", "b"], words, training, NAMES)


def training_images(labels, distance):
    """Nine images of the values 0 to 8; held-out images are brighter by `distance`. Features are red."""

    def extract(images):
        return SimpleNamespace(features=np.asarray(images[:])[:, 0, 0, :1].astype(np.float32))

    extract.name = "red"
    images = np.zeros((9, 4, 4, 3), np.uint8) + np.arange(9, dtype=np.uint8)[:, None, None, None]
    train, test = Split(images, labels), Split(images + distance, labels)
    features = [extract(split.images).features for split in (train, test)]
    return TrainingImages(train, features[0], test, features[1], extract)

"""A generator whose images say what they were made of."""

import numpy as np

from compare_gan.core.sampler import Sampler
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

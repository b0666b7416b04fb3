"""Accuracy of a linear classifier on features of the discriminator: the evaluation of SSGAN,
Chen et al., https://arxiv.org/abs/1811.11212.
"""

import dataclasses

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.metrics.context import EvalContext, Scores, metric, require
from compare_gan.metrics.discriminator_accuracy import discriminator_outputs
from compare_gan.metrics.logistic import logistic_regression, standardisation


def probe_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    """Accuracy on `test` [M, F] of a logistic regression fitted to `train` [N, F].

    Features are standardised with the statistics of `train`. Unlabelled rows (-1) are ignored.

    Raises:
      UserError: `train` has fewer than two classes, or `test` has no labels.
    """
    train, train_labels = train[train_labels >= 0], train_labels[train_labels >= 0]
    test, test_labels = test[test_labels >= 0], test_labels[test_labels >= 0]
    if len(np.unique(train_labels)) < 2 or not len(test_labels):
        raise UserError("linear_probe needs labels of two classes, of training and of held-out images")
    mean, scale = standardisation(train)
    probe = logistic_regression((train - mean) / scale, train_labels, max_iter=200)
    return float(probe.score((test - mean) / scale, test_labels))


@metric(
    "linear_probe",
    "linear_probe_accuracy",
    needs={"discriminator", "images", "real_labels", "train"},
    higher_is_better=True,
)
def linear_probe(ctx: EvalContext) -> Scores:
    """Fitted to training images with the labels that the GAN was trained with; None without labels.

    The discriminator gets no labels, since these are what the probe predicts.
    """
    discriminator, train = (
        require(ctx.discriminator, "a discriminator"),
        require(ctx.train, "training images"),
    )
    if train.labels is None or ctx.real.labels is None or not (ctx.real.labels >= 0).any():
        return {"linear_probe_accuracy": None}
    features = [
        discriminator_outputs(
            discriminator, dataclasses.replace(images, labels=None), lambda out: out.features
        )
        for images in (train, ctx.real)
    ]
    return {"linear_probe_accuracy": probe_accuracy(features[0], train.labels, features[1], ctx.real.labels)}

"""Calibration of class probabilities by temperature scaling on held-out kept labels.

Guo et al., https://arxiv.org/abs/1706.04599. Only kept labels are used, never hidden ones. Shape letters: M
labelled images, N images, K classes.
"""

import logging

import numpy as np
import scipy

NUM_FOLDS = 5  # cross-validation folds of the kept labels
LOG_T_PRIOR_STD = 0.3  # standard deviation of the normal prior of log(temperature)
log = logging.getLogger(__name__)


def stratified_folds(labels: np.ndarray, folds: int = NUM_FOLDS) -> np.ndarray:
    """The fold index of each of the labels [M]; the members of each class are assigned to folds in turn.

    The first member of every class is in fold 0, so a classifier trained on fold 0 has seen every class.
    """
    fold = np.zeros(len(labels), np.int64)
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        fold[members] = np.arange(len(members)) % folds
    return fold


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that logits [M, K] are divided by to fit the labels [M]; 1 if M is 0.

    This is the MAP estimate under a normal prior of log(temperature) with mean 0 and standard deviation
    `LOG_T_PRIOR_STD`: with few labels the temperature stays close to 1.
    """

    def neg_log_posterior(log_temperature: float) -> float:
        log_probabilities = scipy.special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(
            0.5 * (log_temperature / LOG_T_PRIOR_STD) ** 2
            - log_probabilities[np.arange(len(labels)), labels].sum()
        )

    return float(
        np.exp(scipy.optimize.minimize_scalar(neg_log_posterior, bounds=(-4, 4), method="bounded").x)
    )


def fit_temperature_or_default(logits: np.ndarray, labels: np.ndarray) -> float:
    """`fit_temperature`; without labels exactly 1, with a logged warning."""
    if len(labels):
        return fit_temperature(logits, labels)
    log.warning("no kept label can be held out for calibration; using temperature 1")
    return 1.0


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities [N, K] float32: the softmax of logits [N, K] divided by the temperature."""
    return scipy.special.softmax(logits.astype(np.float64) / temperature, axis=1).astype(np.float32)


def calibration_error(predicted: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over bins of equal width.

    Args:
      predicted: [M, K] probabilities.
      labels: [M] class indices.
      bins: the number of bins of confidence.
    """
    confidence, correct = predicted.max(1), predicted.argmax(1) == labels
    bin_index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_index, confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(labels))

"""How sure a classifier may be of itself, found on labels that it has not seen.

Temperature scaling as in Guo et al., https://arxiv.org/abs/1706.04599. The labels are always some of the
kept ones. Shape letters: M labelled images, K classes.
"""

import logging

import numpy as np
from scipy import optimize, special

NUM_FOLDS = 5  # of the kept labels
log = logging.getLogger(__name__)
LOG_T_PRIOR_STD = 0.3  # standard deviation of the prior of a temperature's logarithm


def stratified_folds(labels: np.ndarray, folds: int = NUM_FOLDS) -> np.ndarray:
    """The number of a fold for each of the labels [M]: the members of each class are assigned in turn.

    The first member of every class is in fold 0: a classifier that learns from it has seen all classes.
    """
    fold = np.zeros(len(labels), np.int64)
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        fold[members] = np.arange(len(members)) % folds
    return fold


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits [M, K] by, so that their softmax fits the labels [M] best; 1 where M is 0.

    A few labels say little about it, so it stays near 1 unless there is evidence: its logarithm is normal
    beforehand, and what comes back is the most probable value.
    """

    def neg_log_posterior(log_temperature: float) -> float:
        found = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(
            0.5 * (log_temperature / LOG_T_PRIOR_STD) ** 2 - found[np.arange(len(labels)), labels].sum()
        )

    return float(np.exp(optimize.minimize_scalar(neg_log_posterior, bounds=(-4, 4), method="bounded").x))


def fitted_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """`fit_temperature`, or exactly 1 and a line in the log where there is no label to fit it on."""
    if len(labels):
        return fit_temperature(logits, labels)
    log.warning("no kept label can be spared for calibration; probabilities have temperature 1")
    return 1.0


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """[N, K] float32."""
    return special.softmax(logits.astype(np.float64) / temperature, axis=1).astype(np.float32)


def calibration_error(predicted: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, in bins of equal width.

    Args:
      predicted: [M, K] probabilities.
      labels: [M] class indices.
      bins: how many.
    """
    sure, right = predicted.max(1), predicted.argmax(1) == labels
    at = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(at, sure - right, bins)
    return float(np.abs(gaps).sum() / len(labels))

"""Stage 2 on fixed features: logistic regression on the kept labels."""

import dataclasses

import numpy as np
import scipy

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED
from compare_gan.fewlabels.calibration import fit_temperature_or_default, probabilities, stratified_folds
from compare_gan.fewlabels.inferred import Predictions
from compare_gan.fewlabels.representation import Features
from compare_gan.metrics.logistic import logistic_regression, standardisation

C_VALUES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # candidate inverse regularisation strengths
MAX_CROSS_VALIDATED = 2000  # with more labels, one held-out fold replaces cross-validation
CHUNK_ROWS = 65536  # feature rows per matrix product


@dataclasses.dataclass(frozen=True, eq=False)
class LogisticModel:
    """Logistic regression on standardised features: maps features [N, F] to logits [N, K]."""

    mean: np.ndarray  # [F]
    scale: np.ndarray  # [F]
    weights: np.ndarray  # [F, K]
    bias: np.ndarray  # [K]; -inf for a class without a label

    def __call__(self, features: np.ndarray) -> np.ndarray:
        starts = range(0, len(features), CHUNK_ROWS)
        chunks = [(features[i : i + CHUNK_ROWS] - self.mean) / self.scale @ self.weights for i in starts]
        return np.concatenate(chunks) + self.bias


def classify_linear(features: Features, labels: np.ndarray, classes: int) -> Predictions:
    """Logistic regression; cross-validation selects its regularisation and its temperature.

    Args:
      features: those of all images.
      labels: [N]; -1 = unlabelled.
      classes: the number of classes, K.

    Returns:
      Calibrated probabilities for all images.

    Raises:
      UserError: fewer than two classes have a label.
    """
    labelled = np.flatnonzero(labels != UNLABELLED)
    known = labels[labelled]
    if len(np.unique(known)) < 2:
        raise UserError("a classifier needs labels of at least two classes; keep more labels")
    mean, scale = standardisation(features.train, np.float64)
    inputs, best_c = (features.train[labelled] - mean) / scale, 1.0
    folds = stratified_folds(known)
    if len(known) > MAX_CROSS_VALIDATED:
        folds[folds > 1] = 0
    held_out, logits = known[folds > 0], np.zeros((0, classes))
    if len(held_out):
        logits_by_c = {c: out_of_fold(inputs, known, folds, classes, c) for c in C_VALUES}
        best_c = min(C_VALUES, key=lambda c: _loss(logits_by_c[c], held_out))
        logits = logits_by_c[best_c]
    temperature = fit_temperature_or_default(logits, held_out)
    model = LogisticModel(mean, scale, *fit(inputs, known, classes, best_c))
    return Predictions(
        probabilities(model(features.train), temperature),
        None if features.test is None else probabilities(model(features.test), temperature),
        temperature,
    )


def fit(inputs: np.ndarray, labels: np.ndarray, classes: int, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights [F, K] and bias [K] of logistic regression on standardised features [M, F] and labels [M].

    A class without a label gets zero weights and bias -inf. `c` is the inverse regularisation strength.
    """
    model = logistic_regression(inputs, labels, C=c, max_iter=300, tol=1e-3)
    weights, bias = np.zeros((inputs.shape[1], classes)), np.full(classes, -np.inf)
    if len(model.classes_) == 2:  # scikit-learn fits one logit: that of class 1 minus that of class 0
        bias[model.classes_], weights[:, model.classes_[1]] = [0, model.intercept_[0]], model.coef_[0]
    else:
        bias[model.classes_], weights[:, model.classes_] = model.intercept_, model.coef_.T
    return weights, bias


def out_of_fold(
    inputs: np.ndarray, labels: np.ndarray, folds: np.ndarray, classes: int, c: float
) -> np.ndarray:
    """Logits [., K] of the images in folds 1, 2, ..., each from a model fitted without its fold.

    Fold 0 is always in the training set.
    """
    logits = np.zeros((len(inputs), classes))
    for i in range(1, folds.max() + 1):
        weights, bias = fit(inputs[folds != i], labels[folds != i], classes, c)
        logits[folds == i] = inputs[folds == i] @ weights + bias
    return logits[folds > 0]


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy."""
    return float(-scipy.special.log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())

"""Stage 2 on fixed features: logistic regression from the kept labels."""

import dataclasses

import numpy as np
from scipy import special

from compare_gan.core.errors import UserError
from compare_gan.data.base import UNLABELLED
from compare_gan.fewlabels.calibration import fitted_temperature, probabilities, stratified_folds
from compare_gan.fewlabels.inferred import Predictions
from compare_gan.fewlabels.representation import Features
from compare_gan.metrics.logistic import logistic_regression, standardisation

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse of how much weights are held down
MANY = 2000  # labels of which a fifth says enough, where it is otherwise asked of each fifth but one
ROWS = 65536  # of features that are looked at together


@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
    """Logits [N, K] that are linear in standardised features."""

    mean: np.ndarray  # [F]
    scale: np.ndarray  # [F]
    weights: np.ndarray  # [F, K]
    bias: np.ndarray  # [K]; minus infinity for a class without a label

    def __call__(self, features: np.ndarray) -> np.ndarray:
        starts = range(0, len(features), ROWS)
        parts = [(features[i : i + ROWS] - self.mean) / self.scale @ self.weights for i in starts]
        return np.concatenate(parts) + self.bias


def classify_linear(features: Features, labels: np.ndarray, classes: int) -> Predictions:
    """Logistic regression; its strength, and the temperature of its answers, by cross-validation.

    Args:
      features: of all images.
      labels: [N]; -1 = unlabelled.
      classes: how many there are, K.

    Raises:
      UserError: fewer than two classes have a label.
    """
    labelled = np.flatnonzero(labels != UNLABELLED)
    known = labels[labelled]
    if len(np.unique(known)) < 2:
        raise UserError("labels of at least two classes are needed to learn from; keep more")
    mean, scale = standardisation(features.train, np.float64)
    few, strength = (features.train[labelled] - mean) / scale, 1.0
    part = stratified_folds(known)
    if len(known) > MANY:
        part[part > 1] = 0
    kept_out, logits = known[part > 0], np.zeros((0, classes))
    if len(kept_out):
        unseen = {c: out_of_fold(few, known, part, classes, c) for c in STRENGTHS}
        strength = min(STRENGTHS, key=lambda c: _loss(unseen[c], kept_out))
        logits = unseen[strength]
    temperature = fitted_temperature(logits, kept_out)
    model = Linear(mean, scale, *fit(few, known, classes, strength))
    return Predictions(
        probabilities(model(features.train), temperature),
        None if features.test is None else probabilities(model(features.test), temperature),
        temperature,
    )


def fit(few: np.ndarray, labels: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights [F, K] and bias [K] of logistic regression on standardised features [M, F]."""
    model = logistic_regression(few, labels, C=strength, max_iter=300, tol=1e-3)
    weights, bias = np.zeros((few.shape[1], classes)), np.full(classes, -np.inf)
    if len(model.classes_) == 2:  # one logit, the difference of two
        bias[model.classes_], weights[:, model.classes_[1]] = [0, model.intercept_[0]], model.coef_[0]
    else:
        bias[model.classes_], weights[:, model.classes_] = model.intercept_, model.coef_.T
    return weights, bias


def out_of_fold(
    few: np.ndarray, labels: np.ndarray, part: np.ndarray, classes: int, strength: float
) -> np.ndarray:
    """Logits of the labelled images of parts 1, 2, ..., each by a model that has not seen its part."""
    logits = np.zeros((len(few), classes))
    for i in range(1, part.max() + 1):
        weights, bias = fit(few[part != i], labels[part != i], classes, strength)
        logits[part == i] = few[part == i] @ weights + bias
    return logits[part > 0]


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-special.log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())

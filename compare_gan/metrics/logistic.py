"""Logistic regression on standardised features, as probes and classifiers of fixed features use it."""

import warnings
from typing import Any

import numpy as np


def standardisation(features: np.ndarray, dtype: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean [F] and standard deviation [F] of features [N, F], 1 where the deviation is 0.

    Args:
      features: what to standardise.
      dtype: what sums are taken in; by default that of the features.
    """
    mean, deviation = features.mean(0, dtype), features.std(0, dtype)
    return mean, np.where(deviation > 0, deviation, 1)


def logistic_regression(features: np.ndarray, labels: np.ndarray, **settings: Any) -> Any:
    """scikit-learn's model fitted to features [N, F] and class indices [N].

    A fit that stops before it has converged is used without a warning: its last digits do not matter here.
    """
    from sklearn.exceptions import ConvergenceWarning  # slow to import, so not before it is wanted
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(**settings).fit(features, labels)

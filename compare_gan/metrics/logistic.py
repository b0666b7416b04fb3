"""Logistic regression on standardised features, for probes and for classifiers of fixed features."""

import warnings
from typing import Any

import numpy as np


def standardisation(features: np.ndarray, dtype: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean [F] and standard deviation [F] of features [N, F], 1 if the deviation is 0.

    Args:
      features: the features.
      dtype: of the accumulators; default: that of the features.
    """
    mean, deviation = features.mean(0, dtype), features.std(0, dtype)
    return mean, np.where(deviation > 0, deviation, 1)


def logistic_regression(features: np.ndarray, labels: np.ndarray, **settings: Any) -> Any:
    """scikit-learn's `LogisticRegression` fitted to features [N, F] and class indices [N].

    Convergence warnings are suppressed: an approximate fit is sufficient here.
    """
    from sklearn.exceptions import ConvergenceWarning  # slow to import
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(**settings).fit(features, labels)

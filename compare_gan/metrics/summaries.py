"""Streaming statistics of features and logits, so that scores do not need all of them in memory.

Shape letters: N rows, B rows of a batch, F features, K classes.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import scipy

from compare_gan.core.errors import UserError
from compare_gan.features.base import Extracted


@dataclasses.dataclass
class Moments:
    """Mean and covariance of rows [N, F], updated batch by batch.

    Each batch is centred on its own mean, and batches are merged as in Chan et al. 1979, "Updating formulae
    and a pairwise algorithm for computing sample variances", which is accurate for large means. Sums are in
    double precision on the host: single precision, the only one of some accelerators, loses the small
    eigenvalues of a covariance, whose roots enter the Frechet distance. The sums are cheap compared to the
    network.
    """

    count: int = 0
    mean: Any = 0.0  # [F]
    scatter: Any = 0.0  # [F, F], sum of outer products of deviations from the mean

    def add(self, rows: np.ndarray) -> None:
        """Adds a batch [B, F]."""
        mean, count = rows.mean(0, dtype=np.float64), self.count + len(rows)
        shift = mean - self.mean
        # The last row accounts for the shift between the batch mean and the previous mean.
        deviations = np.empty((len(rows) + 1, rows.shape[1]))
        np.subtract(rows, mean, out=deviations[:-1])
        deviations[-1] = np.sqrt(self.count * len(rows) / count) * shift
        if self.count:
            self.scatter += deviations.T @ deviations
        else:
            self.scatter = deviations.T @ deviations
        self.mean, self.count = self.mean + shift * (len(rows) / count), count

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased, [F, F].

        Raises:
          UserError: there are fewer than two rows.
        """
        if self.count < 2:
            raise UserError(f"the covariance of {self.count} images is undefined; give at least two")
        return self.scatter / (self.count - 1)


class Gaussian(NamedTuple):
    """Mean and covariance of features, such as published reference statistics."""

    mean: np.ndarray  # [F]
    covariance: np.ndarray  # [F, F]


@dataclasses.dataclass
class Predictions:
    """Statistics of logits [N, K]: sums of p(y|x) and of its negative entropies, and the top classes."""

    count: int = 0
    probability: Any = 0.0  # [K]
    negative_entropy: float = 0.0
    top_class: list[np.ndarray] = dataclasses.field(default_factory=list)  # [B] of each batch

    def add(self, logits: np.ndarray) -> None:
        """Adds a batch [B, K]."""
        log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
        p = np.exp(log_p)
        self.count += len(logits)
        self.probability = self.probability + p.sum(0)
        self.negative_entropy += float((p * log_p).sum())
        self.top_class.append(logits.argmax(1))


@dataclasses.dataclass(frozen=True)
class Summary:
    """Statistics of the features and logits of a set of images."""

    moments: Moments | Gaussian
    predictions: Predictions | None  # None without classes


def summarize(batches: Iterable[Extracted]) -> Summary:
    """The summary of batches of extractor outputs."""
    moments, predictions = Moments(), Predictions()
    for batch in batches:
        moments.add(batch.features)
        if batch.classes.shape[1]:
            predictions.add(batch.classes)
    return Summary(moments, predictions if predictions.count else None)

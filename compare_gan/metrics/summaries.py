"""What is kept of features and logits that come in batches, so that scores need not hold them all.

Shape letters: N rows, B rows of a batch, F features, K classes.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax

from compare_gan.core.errors import UserError
from compare_gan.features.base import Extracted


@dataclasses.dataclass
class Moments:
    """Mean and covariance of rows [N, F], of which a batch is looked at at a time.

    Each batch is centred on its own mean, and batches are joined as in Chan et al. 1979, "Updating formulae
    and a pairwise algorithm for computing sample variances", so that nothing is lost where the mean is
    large. Sums are in double precision and on the host, wherever the rows come from: single precision, all
    that some accelerators have, drowns the small eigenvalues of a covariance, whose roots count in the
    Frechet distance; and next to the network that makes the rows these sums are cheap.
    """

    count: int = 0
    mean: Any = 0.0  # [F]
    scatter: Any = 0.0  # [F, F], sum of the squares of deviations from the mean

    def add(self, rows: np.ndarray) -> None:
        """Takes in another batch [B, F]."""
        mean, count = rows.mean(0, dtype=np.float64), self.count + len(rows)
        shift = mean - self.mean
        # The last row stands for how far the batch is from those before.
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
          UserError: of fewer than two rows.
        """
        if self.count < 2:
            raise UserError(f"the covariance of {self.count} images: give at least two")
        return self.scatter / (self.count - 1)


class Gaussian(NamedTuple):
    """All that a file of reference statistics tells of features."""

    mean: np.ndarray  # [F]
    covariance: np.ndarray  # [F, F]


@dataclasses.dataclass
class Predictions:
    """Of logits [N, K]: the sum of p(y|x), the sum of its negative entropies, and the likeliest classes."""

    count: int = 0
    probability: Any = 0.0  # [K]
    negative_entropy: float = 0.0
    top_class: list[np.ndarray] = dataclasses.field(default_factory=list)  # [B] of each batch

    def add(self, logits: np.ndarray) -> None:
        """Takes in another batch [B, K]."""
        log_p = log_softmax(logits.astype(np.float64), axis=1)
        p = np.exp(log_p)
        self.count += len(logits)
        self.probability = self.probability + p.sum(0)
        self.negative_entropy += float((p * log_p).sum())
        self.top_class.append(logits.argmax(1))


@dataclasses.dataclass(frozen=True)
class Summary:
    """All that is kept of a set of images if its features need not be."""

    moments: Moments | Gaussian
    predictions: Predictions | None  # None where no classes are known


def summarize(batches: Iterable[Extracted]) -> Summary:
    """Of what an extractor says of images, a batch at a time."""
    moments, predictions = Moments(), Predictions()
    for batch in batches:
        moments.add(batch.features)
        if batch.classes.shape[1]:
            predictions.add(batch.classes)
    return Summary(moments, predictions if predictions.count else None)

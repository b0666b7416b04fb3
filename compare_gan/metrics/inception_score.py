"""Inception score: Salimans et al., https://arxiv.org/abs/1606.03498, section 4."""

import numpy as np
import scipy

from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.summaries import Predictions


def inception_score(logits: np.ndarray) -> float:
    """exp of the mean KL(p(y|x), p(y)) over the rows of [N, K], in [1, K].

    Computed over all samples, as in compare_gan; many papers average over ten splits, which gives less.
    """
    predictions = Predictions()
    predictions.add(logits)
    return score_of(predictions)


def score_of(predictions: Predictions) -> float:
    """The same from `Predictions`: the mean KL is the entropy of p(y) minus the mean entropy of p(y|x)."""
    marginal = predictions.probability / predictions.count
    marginal_entropy = -scipy.special.xlogy(marginal, marginal).sum()
    return float(np.exp(predictions.negative_entropy / predictions.count + marginal_entropy))


@metric("inception_score", needs={"summary", "logits"}, higher_is_better=True)
def inception_score_of(ctx: EvalContext) -> Scores:
    """From the class predictions of the extractor for generated images; None if it has no classes."""
    predictions = ctx.fake.summary.predictions
    return {"inception_score": None if predictions is None else score_of(predictions)}

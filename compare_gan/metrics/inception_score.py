"""Inception score: Salimans et al., https://arxiv.org/abs/1606.03498, section 4."""

import numpy as np
from scipy.special import xlogy

from compare_gan.metrics.context import EvalContext, Scores, metric
from compare_gan.metrics.summaries import Predictions


def inception_score(logits: np.ndarray) -> float:
    """exp of the mean KL(p(y|x), p(y)) over the rows of [N, K], in [1, K].

    All samples count at once, as in compare_gan; many papers split them into ten parts, which gives less.
    """
    predictions = Predictions()
    predictions.add(logits)
    return score_of(predictions)


def score_of(predictions: Predictions) -> float:
    """The same of what is kept of logits: the mean KL is the entropy of p(y) less the mean of p(y|x)'s."""
    marginal = predictions.probability / predictions.count
    return float(np.exp(predictions.negative_entropy / predictions.count - xlogy(marginal, marginal).sum()))


@metric("inception_score", needs={"summary", "logits"}, higher_is_better=True)
def inception_score_of(ctx: EvalContext) -> Scores:
    """Of what the extractor takes generated images for; None if it knows no classes."""
    predictions = ctx.fake.summary.predictions
    return {"inception_score": None if predictions is None else score_of(predictions)}

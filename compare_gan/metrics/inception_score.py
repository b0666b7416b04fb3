"""Inception score: Salimans et al., https://arxiv.org/abs/1606.03498, section 4."""

import numpy as np
from scipy.special import log_softmax, logsumexp

from compare_gan.core.registry import METRICS
from compare_gan.metrics.context import EvalContext


def inception_score(logits: np.ndarray) -> float:
    """exp of the mean KL(p(y|x), p(y)) over the rows of [N, K], in [1, K].

    All samples count at once, as in compare_gan; many papers split them into ten parts, which gives less.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    log_marginal = logsumexp(log_p, axis=0) - np.log(len(log_p))
    return float(np.exp(np.mean(np.sum(np.exp(log_p) * (log_p - log_marginal), axis=1))))


@METRICS.register("inception_score")
def inception_score_of(ctx: EvalContext) -> dict[str, float | None]:
    """Of what the extractor takes generated images for; None if it knows no classes."""
    logits = ctx.fake.seen.classes
    return {"inception_score": inception_score(logits) if logits.shape[1] else None}

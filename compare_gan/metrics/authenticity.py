"""Authenticity, the share of generated images that are no copies: Alaa et al., https://arxiv.org/abs/2102.08921.

Shape letters: N training and M other samples, F features.
"""

import numpy as np

from compare_gan.metrics.context import EvalContext, Scores, metric, require
from compare_gan.metrics.neighbours import nearest


def authentic(samples: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Whether each sample [M, F] is authentic: [M].

    It is, if its nearest training sample [N, F] is nearer to another training sample than to it.

    Raises:
      UserError: there are fewer than two training samples.
    """
    found = nearest(samples, train, 1)
    rows, inverse = np.unique(found.rows[:, 0], return_inverse=True)
    own = nearest(train[rows], train, 1, exclude=rows).distances[:, 0]
    return own[inverse] < found.distances[:, 0]


@metric(
    "authenticity",
    "authenticity",
    "authenticity_held_out",
    needs={"features", "train"},
    higher_is_better=True,
)
def authenticity(ctx: EvalContext) -> Scores:
    """The share of generated images that are authentic, and that of at most as many held-out images."""
    train = require(ctx.train, "training images").outputs.features
    generated, held_out = ctx.fake.outputs.features, ctx.real.outputs.features
    if len(held_out) > len(generated):
        rng = np.random.default_rng(ctx.seed)
        held_out = held_out[np.sort(rng.choice(len(held_out), len(generated), replace=False))]
    return {
        "authenticity": float(authentic(generated, train).mean()),
        "authenticity_held_out": float(authentic(held_out, train).mean()),
    }

"""The data-copying score C_T: Meehan et al., https://arxiv.org/abs/2004.05675.

Shape letters: N, T, M samples of three sets, F features, K cells.
"""

import numpy as np
from scipy.stats import mannwhitneyu
from threadpoolctl import threadpool_limits

from compare_gan.metrics.context import EvalContext, Scores, metric, require
from compare_gan.metrics.neighbours import nearest
from compare_gan.metrics.summaries import Moments

COMPONENTS, CELLS, MIN_IN_CELL = 64, 3, 20  # as in dgm-eval
BATCH = 1000


def ct_score(train: np.ndarray, held_out: np.ndarray, samples: np.ndarray, seed: int = 0) -> float | None:
    """Whether samples are nearer to training samples than held-out samples are.

    The features are reduced to the first 64 principal components and divided into three cells (k-means), both
    of the training samples. In each cell a rank test (Mann and Whitney) compares the distances to the nearest
    training sample; C_T is the mean of its standard scores, weighted by the share of held-out samples.

    Args:
      train: [N, F].
      held_out: [T, F], real like `train`.
      samples: [M, F], usually generated.
      seed: of the cells.

    Returns:
      About 0 if the samples are distributed like the held-out ones; far below 0 if they are nearer to the
      training samples, as copies are; far above 0 if they are farther. It grows with the square root of the
      numbers of samples. None if there are too few: no cell has training samples, held-out samples, and more
      than 20 others.
    """
    if len(train) < CELLS:
        return None
    from sklearn.cluster import KMeans  # slow to import

    train, held_out, samples = principal_components(train, held_out, samples)
    with threadpool_limits(1):  # the summation order of several threads is not deterministic
        cells = KMeans(CELLS, n_init=10, random_state=seed).fit(train)
        return mean_score(
            *((points, cells.predict(points).astype(int)) for points in (train, held_out, samples))
        )


Celled = tuple[np.ndarray, np.ndarray]  # samples [N, F] and the cell of each [N]


def mean_score(train: Celled, held_out: Celled, samples: Celled) -> float | None:
    """`ct_score` of samples whose cells are given."""
    scores, weights = [], []
    for cell in range(int(train[1].max()) + 1):
        reference, real, other = (points[index == cell] for points, index in (train, held_out, samples))
        if len(reference) and len(real) and len(other) > MIN_IN_CELL:
            scores.append(standard_score(distances(other, reference), distances(real, reference)))
            weights.append(len(real))
    return float(np.average(scores, weights=weights)) if scores else None


def distances(samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distances [M] to the nearest of the reference samples."""
    return nearest(samples, reference, 1).distances[:, 0]


def standard_score(x: np.ndarray, y: np.ndarray) -> float:
    """The z score of the Mann-Whitney test of [M] and [T]: above 0 if x is usually larger."""
    n, m = len(y), len(x)
    larger = mannwhitneyu(x, y).statistic  # pairs in which x is larger, in SciPy since 1.7
    return float((larger - (n * m / 2 - 0.5)) / np.sqrt(n * m * (n + m + 1) / 12))


def principal_components(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All sets [N, F], the first first, as coordinates of its first principal components [N, 64]."""
    if train.shape[1] <= COMPONENTS:
        return [points.astype(np.float64) for points in (train, *others)]
    moments = Moments()
    for start in range(0, len(train), BATCH):
        moments.add(train[start : start + BATCH])
    _, vectors = np.linalg.eigh(moments.covariance)
    directions = vectors[:, : -COMPONENTS - 1 : -1]
    return [
        np.concatenate(
            [
                (points[start : start + BATCH] - moments.mean) @ directions
                for start in range(0, len(points), BATCH)
            ]
        )
        for points in (train, *others)
    ]


@metric(
    "ct_score",
    "ct_score",
    "ct_score_held_out",
    "ct_modified",
    needs={"features", "train"},
    higher_is_better=True,
    min_images=2 * (CELLS * MIN_IN_CELL + 1),  # so that half of them have a cell with more than MIN_IN_CELL
)
def ct(ctx: EvalContext) -> Scores:
    """C_T of generated images, of half of the held-out images against the other half, and dgm-eval's variant.

    `ct_modified` exchanges generated and training images: below 0, training images are nearer to generated
    ones than held-out images are. A poor generator is far from both, so its value without copies is near 0.
    """
    train = require(ctx.train, "training images").outputs.features
    held_out, generated = ctx.real.outputs.features, ctx.fake.outputs.features
    order = np.random.default_rng(ctx.seed).permutation(len(held_out))
    one, other = (held_out[np.sort(part)] for part in np.array_split(order, 2))
    return {
        "ct_score": ct_score(train, held_out, generated, ctx.seed),
        "ct_score_held_out": ct_score(train, one, other, ctx.seed),
        "ct_modified": ct_score(generated, held_out, train, ctx.seed),
    }

"""Stage 2 without labels: k-means clusters of the features replace classes."""

import numpy as np
from threadpoolctl import threadpool_limits

from compare_gan.core.errors import UserError
from compare_gan.fewlabels.inferred import Predictions
from compare_gan.fewlabels.representation import Features


def cluster(features: Features, clusters: int, seed: int) -> Predictions:
    """Mini-batch k-means on features scaled to unit length; no label is read.

    The method "Clustering" of Lucic et al., https://arxiv.org/abs/1903.02271.

    Args:
      features: those of all images.
      clusters: the number of clusters.
      seed: of the initialisation and of the batches.

    Returns:
      The cluster index of every image.

    Raises:
      UserError: there are fewer images than clusters.
    """
    if clusters > len(features.train):
        raise UserError(f"{clusters} clusters of {len(features.train)} images; choose fewer")
    from sklearn.cluster import MiniBatchKMeans  # slow to import

    model = MiniBatchKMeans(clusters, batch_size=4096, n_init=5, random_state=seed)
    with threadpool_limits(1):  # the summation order of several threads is not deterministic
        train = model.fit_predict(unit(features.train))
        test = None if features.test is None else model.predict(unit(features.test))
    return Predictions(train.astype(np.int32), None if test is None else test.astype(np.int32))


def unit(features: np.ndarray) -> np.ndarray:
    """Scales rows [N, F] to length 1; zero rows stay zero."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)

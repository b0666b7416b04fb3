"""Exact nearest neighbours between two sets of features.

Shape letters: M queries, N references, B of a block, F features, k neighbours.
"""

from typing import NamedTuple

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.progress import Progress
from compare_gan.metrics.prdc import block_slices, squared_distances


class Neighbours(NamedTuple):
    """The nearest references of each query, nearest first."""

    rows: np.ndarray  # [M, k] of the references
    distances: np.ndarray  # [M, k] float64, Euclidean; exactly 0 for equal features


def nearest(
    queries: np.ndarray, references: np.ndarray, k: int, exclude: np.ndarray | None = None
) -> Neighbours:
    """The k nearest references [N, F] of each query [M, F], by Euclidean distance.

    Only a block of all M x N distances is in memory at a time; features may be memory-mapped. Candidates are
    found by products of matrices in double precision. The distances returned are computed from differences,
    so near copies keep their small distances.

    Args:
      queries, references: features.
      k: the number of neighbours.
      exclude: [M] for each query a row of the references that is no neighbour, such as its own.

    Raises:
      UserError: there are fewer than k references.
    """
    if len(references) < k + (exclude is not None):
        raise UserError(f"{k} nearest neighbours among {len(references)} images; give more images")
    center = references.mean(0, dtype=np.float64)  # large offsets would lose precision
    blocks, columns = block_slices(len(queries)), block_slices(len(references))
    progress = Progress("neighbours", len(blocks), unit="blocks", show_after_s=5.0)
    index, distances = np.zeros((len(queries), k), np.int64), np.full((len(queries), k), np.inf)
    for n, rows in enumerate(blocks):
        x = queries[rows] - center
        for part in columns:
            squares = squared_distances(x, references[part] - center)
            if exclude is not None:
                hit = np.flatnonzero((exclude[rows] >= part.start) & (exclude[rows] < part.stop))
                squares[hit, exclude[rows][hit] - part.start] = np.inf
            _keep_smallest(index[rows], distances[rows], squares, part.start)
        for j in range(k):
            difference = queries[rows].astype(np.float64) - references[index[rows, j]]
            distances[rows, j] = np.linalg.norm(difference, axis=1)
        progress.update(n + 1, {})
    order = np.argsort(distances, axis=1, kind="stable")
    return Neighbours(np.take_along_axis(index, order, 1), np.take_along_axis(distances, order, 1))


def _keep_smallest(index: np.ndarray, kept: np.ndarray, squares: np.ndarray, start: int) -> None:
    """Updates the k smallest squared distances of each row, and their columns, by those of another block.

    Args:
      index, kept: [B, k], changed in place.
      squares: [B, B] of the block.
      start: the first column of the block.
    """
    k = kept.shape[1]
    better = np.flatnonzero(squares.min(1) < kept.max(1))
    merged = np.concatenate([kept[better], squares[better]], axis=1)
    columns = np.broadcast_to(np.arange(start, start + squares.shape[1]), (len(better), squares.shape[1]))
    merged_index = np.concatenate([index[better], columns], axis=1)
    chosen = np.argpartition(merged, k - 1, axis=1)[:, :k]
    kept[better] = np.take_along_axis(merged, chosen, 1)
    index[better] = np.take_along_axis(merged_index, chosen, 1)

"""The order of training images: a stateless function of the batch index."""

import dataclasses
import functools

import numpy as np

from compare_gan.core.errors import UserError


def permutation(count: int, *key: int) -> np.ndarray:
    """A permutation of range(count), [count] int64, determined by `key`.

    Sorts raw PCG64 output: NumPy guarantees a stable stream for it, but not for `Generator.permutation`.

    Raises:
      UserError: an element of the key is negative.
    """
    if min(key) < 0:
        raise UserError(f"seed {min(key)} is negative; seeds are nonnegative")
    return np.argsort(np.random.PCG64(key).random_raw(count), kind="stable")


def batch_indices(count: int, batch_size: int, seed: int, start: int, batches: int) -> np.ndarray:
    """Image indices of the batches `start` to `start + batches - 1`, [batches, batch_size] int64.

    The stream is infinite: a concatenation of one permutation of all `count` images per epoch, determined by
    the seed and the epoch, cut into batches that may straddle epochs.

    Raises:
      UserError: `count` or `batch_size` is not positive.
    """
    if count < 1:
        raise UserError("there are no images to draw batches from")
    if batch_size < 1:
        raise UserError(f"batch size {batch_size} is not positive")
    begin, end = start * batch_size, (start + batches) * batch_size
    pieces = [np.empty(0, np.int64)]
    for epoch in range(begin // count, -(-end // count)):
        before = epoch * count
        pieces.append(_epoch(count, seed, epoch)[max(begin - before, 0) : end - before])
    return np.concatenate(pieces).reshape(batches, batch_size)


@dataclasses.dataclass(frozen=True, eq=False)
class Order:
    """The images of each training batch. Some rows may be drawn from a subset of the images.

    The subset and the set of all images are two streams, each as in `batch_indices`.
    """

    count: int  # number of images
    batch_size: int
    seed: int
    few: np.ndarray | None = None  # indices of the subset that is oversampled
    few_rows: tuple[int, ...] = ()  # sorted batch rows drawn from the subset

    @functools.cached_property
    def other_rows(self) -> np.ndarray:
        """Sorted batch rows drawn from all images."""
        return np.setdiff1d(np.arange(self.batch_size), self.few_rows)

    def batches(self, start: int, batches: int) -> np.ndarray:
        """Image indices of the batches `start` to `start + batches - 1`, [batches, batch_size] int64.

        Raises:
          UserError: `count` or `batch_size` is not positive.
        """
        if self.few is None:
            return batch_indices(self.count, self.batch_size, self.seed, start, batches)
        index = np.empty((batches, self.batch_size), np.int64)
        few = batch_indices(len(self.few), len(self.few_rows), self.seed, start, batches)
        index[:, list(self.few_rows)] = self.few[few]
        if others := len(self.other_rows):
            index[:, self.other_rows] = batch_indices(self.count, others, self.seed, start, batches)
        return index

    def at(self, batch: int, row: int) -> int:
        """The image index in one row of a batch."""
        before = int(np.searchsorted(self.few_rows, row))  # rows of the subset before this one
        if self.few is not None and row in self.few_rows:
            place = batch * len(self.few_rows) + before
            return int(self.few[batch_indices(len(self.few), 1, self.seed, place, 1)[0, 0]])
        place = batch * len(self.other_rows) + row - before
        return int(batch_indices(self.count, 1, self.seed, place, 1)[0, 0])


def spread_rows(count: int, batch_size: int) -> tuple[int, ...]:
    """`count` evenly spaced rows of a batch, so that devices and microbatches get equal shares."""
    return tuple(int(i * batch_size // count) for i in range(count))


@functools.lru_cache(maxsize=4)
def _epoch(count: int, seed: int, epoch: int) -> np.ndarray:
    order = permutation(count, seed, epoch)
    order.setflags(write=False)
    return order

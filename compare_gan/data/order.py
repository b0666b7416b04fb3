"""The order in which training sees the images: arithmetic on the batch number, no state."""

import dataclasses
import functools

import numpy as np

from compare_gan.core.errors import UserError


def permutation(count: int, *key: int) -> np.ndarray:
    """A shuffled range [count] int64 that `key` alone decides.

    It sorts raw PCG64 words: NumPy promises that stream for good, but not that of `Generator.permutation`.

    Raises:
      UserError: a part of the key is negative.
    """
    if min(key) < 0:
        raise UserError(f"seed {min(key)} is negative; seeds are 0 or more")
    return np.argsort(np.random.PCG64(key).random_raw(count), kind="stable")


def batch_indices(count: int, batch_size: int, seed: int, start: int, batches: int) -> np.ndarray:
    """Image indices of the batches `start` to `start + batches - 1`, [batches, batch_size] int64.

    The stream is endless: one permutation of all `count` images after another, each decided by the seed and
    its own number, cut into batches without regard to where an epoch ends.

    Raises:
      UserError: there are no images, or a batch would be empty.
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
    """Which images each batch of a job holds: some from among a few, the others from all, two streams."""

    count: int  # images in all
    batch_size: int
    seed: int
    few: np.ndarray | None = None  # numbers of the images that are drawn from more often
    first: int = 0  # images at the beginning of each batch that are drawn from among the few

    def batches(self, start: int, batches: int) -> np.ndarray:
        """Image indices of the batches `start` to `start + batches - 1`, [batches, batch_size] int64.

        Raises:
          UserError: there are no images, or a batch would be empty.
        """
        if self.few is None:
            return batch_indices(self.count, self.batch_size, self.seed, start, batches)
        drawn = self.few[batch_indices(len(self.few), self.first, self.seed, start, batches)]
        others = self.batch_size - self.first
        if not others:
            return drawn
        return np.concatenate([drawn, batch_indices(self.count, others, self.seed, start, batches)], axis=1)

    def at(self, batch: int, row: int) -> int:
        """The image at one place of a batch."""
        if self.few is not None and row < self.first:
            place = batch * self.first + row
            return int(self.few[batch_indices(len(self.few), 1, self.seed, place, 1)[0, 0]])
        place = batch * (self.batch_size - self.first) + row - self.first
        return int(batch_indices(self.count, 1, self.seed, place, 1)[0, 0])


@functools.lru_cache(maxsize=4)
def _epoch(count: int, seed: int, epoch: int) -> np.ndarray:
    order = permutation(count, seed, epoch)
    order.setflags(write=False)
    return order

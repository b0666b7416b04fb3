"""Input pipelines of training. The batches of step t depend on the seed and t alone.

The three feeds yield the same batches. `DeviceFeed` keeps all images on the devices, and a step selects its
batch by index; `HostFeed` gathers batches in host memory; `StreamingFeed` reads images on demand with grain,
which prefetches.
"""

import abc
import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.core.types import Array, Batch
from compare_gan.data.base import UNLABELLED, Split
from compare_gan.data.order import Order
from compare_gan.data.streamed import Streamed

if TYPE_CHECKING:
    import grain


class Feed(abc.ABC):
    """The batches of a run. S: batches per step, B: batch size."""

    data: Any = ()  # the first argument of `select`; stays on the devices

    def __init__(self, split: Split, order: Order, sub_batches: int, placement: Placement):
        self.split, self.order, self.sub_batches, self.placement = split, order, sub_batches, placement
        self.local = placement.local(order.batch_size)

    @abc.abstractmethod
    def read(self, step: int) -> Any:
        """This process's slice of the batches of a step: NumPy arrays [S, B, ...]."""

    @staticmethod
    def select(data: Any, batch: Any) -> Batch:
        """Images and labels [S, B, ...] from `data` and the result of `batch`. Runs in the compiled step."""
        del data
        return batch

    def batch(self, step: int) -> Any:
        """The batches of a step on the devices. Steps count from 0."""
        return self.placement.make_global(self.read(step))

    def close(self) -> None:
        """Stops prefetching."""
        return None

    def indices(self, step: int) -> np.ndarray:
        """Indices of the images that this process reads for a step, [S, B]."""
        return self.order.batches(step * self.sub_batches, self.sub_batches)[:, self.local]


class DeviceFeed(Feed):
    """All images are replicated on every device."""

    def __init__(self, split: Split, *args: Any):
        super().__init__(split, *args)
        self.data = self.placement.replicate(Batch(split.images[:], split.labels))  # type: ignore[arg-type]

    def read(self, step: int) -> np.ndarray:
        return self.indices(step).astype(np.int32)

    @staticmethod
    def select(data: Batch, batch: Array) -> Batch:
        return Batch(data.images[batch], data.labels[batch])


class HostFeed(Feed):
    """Images are in host memory."""

    def read(self, step: int) -> Batch:
        index = self.indices(step)
        return Batch(self.split.images[index], self.split.labels[index])  # type: ignore[arg-type]


class StreamingFeed(Feed):
    """Images are read, preprocessed and prefetched by threads, or by `workers` processes.

    `total` is the number of steps of the training.
    """

    def __init__(self, split: Split, *args: Any, total: int, workers: int):
        super().__init__(split, *args)
        self.total, self.workers = total, workers
        self.next = -1  # the step whose batches `batches` yields next
        self.batches: Iterator[Any] = iter(())

    def read(self, step: int) -> Batch:
        if step != self.next:
            self.close()
            self.batches = iter(self._open(step * self.sub_batches))
        try:
            images, labels = zip(*(next(self.batches) for _ in range(self.sub_batches)), strict=True)
        except Exception as error:  # grain wraps errors of its workers
            raise _user_error(error) or error from None
        self.next = step + 1
        return Batch(np.stack(images), np.stack(labels))  # type: ignore[arg-type]

    def close(self) -> None:
        if hasattr(self.batches, "close"):
            self.batches.close()

    def _open(self, first: int) -> "grain.IterDataset":
        """Batches `first` onwards."""
        import grain  # slow to import

        last = self.total * self.sub_batches
        size = self.local.stop - self.local.start
        read = functools.partial(_example, self.split, self.order, self.local.start, size)
        rows = grain.MapDataset.range(first * size, last * size).map(read)
        threads = os.cpu_count() or 1
        options = grain.ReadOptions(threads, prefetch_buffer_size=max(threads, 2 * self.sub_batches))
        batches = rows.batch(size).to_iter_dataset(options)
        if not self.workers:
            return batches
        from absl import flags

        flags.FLAGS.mark_as_parsed()  # grain's processes read absl flags, which are not used here
        return batches.mp_prefetch(grain.MultiprocessingOptions(self.workers))


def _example(split: Split, order: Order, first: int, size: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The image and label at an index of this process's stream, whose batches have `size` images."""
    batch, row = divmod(index, size)
    position = batch * order.batch_size + first + row  # among all processes
    i = order.at(batch, first + row)
    images = split.images
    assert isinstance(images, Streamed)
    return images.read(i, np.random.default_rng((order.seed, position))), split.labels[i]


def _user_error(error: BaseException | None) -> UserError | None:
    """The UserError in the chain of causes of an error, or None."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def labelled_images(labels: np.ndarray) -> np.ndarray:
    """Indices of the labelled images, from class indices [N] or soft labels [N, K].

    Raises:
      UserError: there are none.
    """
    index = np.flatnonzero(labels != UNLABELLED if labels.ndim == 1 else labels.any(1))
    if not len(index):
        raise UserError("no training image has a label, but part of each batch is drawn from labelled images")
    return index


def evenly(index: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Indices of labelled images, repeated where a class has fewer than the largest one.

    Args:
      index: indices of labelled images [M].
      labels: class indices [N], or soft labels [N, K], which count as their most probable class.
    """
    classes = labels[index] if labels.ndim == 1 else labels[index].argmax(1)
    members = [index[classes == k] for k in np.unique(classes)]
    largest = max(map(len, members))
    return np.concatenate([np.resize(each, largest) for each in members])


class BatchSpec(Protocol):
    """The fields of a job that a feed uses, see `compare_gan.training.loop.Job`."""

    @property
    def batch_size(self) -> int: ...
    @property
    def sub_batches(self) -> int: ...
    @property
    def labelled_rows(self) -> tuple[int, ...]: ...
    @property
    def balanced(self) -> bool: ...


def open_feed(
    split: Split, job: BatchSpec, *, steps: int, seed: int, placement: Placement, workers: int = 0
) -> Feed:
    """Opens the feed of `split` for a job.

    Args:
      split: the images; their storage decides which feed is used.
      job: batch size (over all processes), batches per step, the rows of each batch that are drawn from the
        labelled images only, and whether these draw each class equally often.
      steps: number of steps of the training.
      seed: of the order and of random crops.
      placement: the devices.
      workers: processes that read images which are not in memory; 0: threads.

    Raises:
      UserError: the batch cannot be sharded evenly, there are no images, or none has a label although the
        job draws labelled ones.
    """
    if not len(split):
        raise UserError("there are no images to train on")
    order = Order(len(split), job.batch_size, seed)
    if job.labelled_rows:
        few = labelled_images(split.labels)
        if job.balanced or len(few) < len(split):
            few = evenly(few, split.labels) if job.balanced else few
            order = dataclasses.replace(order, few=few, few_rows=job.labelled_rows)
    arguments = (order, job.sub_batches, placement)
    if isinstance(split.images, Streamed):
        return StreamingFeed(split, *arguments, total=steps, workers=workers)
    if len(split) * int(np.prod(split.images.shape[1:])) <= placement.cache_budget_bytes():
        return DeviceFeed(split, *arguments)
    return HostFeed(split, *arguments)

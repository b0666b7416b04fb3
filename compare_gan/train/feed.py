"""Where a run's batches come from. What step t sees is a function of seed and t alone.

There are three ways with one meaning: images that fit on the devices stay there, and a step selects its
batch by index; images in host memory are gathered here; images that are read on demand come from grain, which
reads ahead.
"""

import abc
import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import Any, Protocol

import grain
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.core.types import Array, Batch
from compare_gan.data.base import UNLABELLED, Split
from compare_gan.data.order import Order
from compare_gan.data.streamed import Streamed


class Feed(abc.ABC):
    """The batches of a run. S: batches that one step uses, B: batch size."""

    data: Any = ()  # what `select` looks up images in; stays on the devices

    def __init__(self, split: Split, order: Order, sub_batches: int, placement: Placement):
        self.split, self.order, self.sub_batches, self.placement = split, order, sub_batches, placement
        self.local = placement.local(order.batch_size)

    @abc.abstractmethod
    def read(self, step: int) -> Any:
        """This process's part of the batches of a step: NumPy arrays [S, B, ...]."""

    @staticmethod
    def select(data: Any, batch: Any) -> Batch:
        """Images and labels [S, B, ...] of what `batch` returned. Called inside the compiled step."""
        del data
        return batch

    def batch(self, step: int) -> Any:
        """The batches of a step on the devices. Steps count from 0."""
        return self.placement.make_global(self.read(step))

    def close(self) -> None:
        """Ends what reads ahead."""
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
    """Images are read and prepared by threads, or by `workers` processes, a little ahead."""

    def __init__(self, split: Split, *args: Any, total: int, workers: int):
        super().__init__(split, *args)
        self.total, self.workers = total, workers
        self.next = -1  # the step that `batches` continue with
        self.batches: Iterator[Any] = iter(())

    def read(self, step: int) -> Batch:
        if step != self.next:
            self.close()
            self.batches = iter(self._open(step * self.sub_batches))
        try:
            images, labels = zip(*(next(self.batches) for _ in range(self.sub_batches)), strict=True)
        except Exception as error:  # grain wraps what happened in a worker
            raise _user_error(error) or error from None
        self.next = step + 1
        return Batch(np.stack(images), np.stack(labels))  # type: ignore[arg-type]

    def close(self) -> None:
        if hasattr(self.batches, "close"):
            self.batches.close()

    def _open(self, first: int) -> grain.IterDataset:
        """Batches `first` onwards."""
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

        flags.FLAGS.mark_as_parsed()  # grain's processes ask for flags that this command line does not have
        return batches.mp_prefetch(grain.MultiprocessingOptions(self.workers))


def _example(split: Split, order: Order, first: int, size: int, place: int) -> tuple[np.ndarray, np.ndarray]:
    """The image and label at a place in the stream of this process, whose batches have `size` images."""
    batch, row = divmod(place, size)
    position = batch * order.batch_size + first + row  # among all processes
    i = order.at(batch, first + row)
    images = split.images
    assert isinstance(images, Streamed)
    return images.read(i, np.random.default_rng((order.seed, position))), split.labels[i]


def _user_error(error: BaseException | None) -> UserError | None:
    """The user's mistake behind an error, if it is one."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def labelled_images(labels: np.ndarray) -> np.ndarray:
    """Numbers of the images that have a label, from class indices [N] or soft labels [N, K].

    Raises:
      UserError: none has one.
    """
    index = np.flatnonzero(labels != UNLABELLED if labels.ndim == 1 else labels.any(1))
    if not len(index):
        raise UserError("no training image has a label, but a part of each batch is to have one")
    return index


class Fed(Protocol):
    """What a feed has to know of a job, see `compare_gan.train.loop.Job`."""

    @property
    def batch_size(self) -> int: ...
    @property
    def sub_batches(self) -> int: ...
    @property
    def labelled_rows(self) -> tuple[int, ...]: ...


def open_feed(
    split: Split, job: Fed, *, steps: int, seed: int, placement: Placement, workers: int = 0
) -> Feed:
    """The batches of `split` for a job of `steps` steps.

    Args:
      split: the images; where they are stored decides how they are fed.
      job: its batch size (images over all processes), batches of a step, and rows of each batch that are
        drawn from the labelled images only.
      steps: of the whole training.
      seed: of the order, and of random crops.
      placement: the devices.
      workers: processes that read images which are not in memory; 0: threads.

    Raises:
      UserError: the batch cannot be split over the devices, or there are no images, or none has a label
        where labelled ones are asked for.
    """
    if not len(split):
        raise UserError("there are no images to train on")
    order = Order(len(split), job.batch_size, seed)
    if job.labelled_rows and len(few := labelled_images(split.labels)) < len(split):
        order = dataclasses.replace(order, few=few, few_rows=job.labelled_rows)
    arguments = (order, job.sub_batches, placement)
    if isinstance(split.images, Streamed):
        return StreamingFeed(split, *arguments, total=steps, workers=workers)
    if len(split) * int(np.prod(split.images.shape[1:])) <= placement.cache_budget_bytes():
        return DeviceFeed(split, *arguments)
    return HostFeed(split, *arguments)

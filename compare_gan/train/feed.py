"""Where a training job's batches come from. What step t sees is a function of seed and t alone.

Three ways, one meaning: images that fit on the devices lie there, and a step picks its batch by index;
images in memory are gathered here; images that are read when wanted come from grain, which reads ahead.
"""

import abc
import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import jax
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.core.types import Array, Batch
from compare_gan.data.base import UNLABELLED, Split
from compare_gan.data.order import Order
from compare_gan.data.streamed import Streamed

CHUNK_BYTES = 256 << 20  # of images on their way to the devices at a time


class Feed(abc.ABC):
    """Batches of a job, some steps at a time."""

    length: int  # steps that one chunk has room for
    held: Any = ()  # what `pick` looks things up in; lies on the devices all the time

    def __init__(self, split: Split, order: Order, sub_batches: int, placement: Placement, length: int):
        self.split, self.order, self.sub_batches = split, order, sub_batches
        self.placement, self.length = placement, length
        self.local = placement.local(order.batch_size)

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """What this process holds of steps start..stop-1: NumPy arrays [stop - start, S, B, ...]."""

    @staticmethod
    def pick(held: Any, given: Any) -> Batch:
        """Inside a step: the batch [S, B, ...] that one entry of `chunk` stands for."""
        del held
        return given

    def chunk(self, start: int, stop: int) -> Any:
        """Steps start..stop-1 on the devices, padded to `length` by unused zeros."""

        def padded(x: np.ndarray) -> np.ndarray:
            return np.concatenate([x, np.zeros((self.length - len(x), *x.shape[1:]), x.dtype)])

        return self.placement.put(jax.tree.map(padded, self.read(start, stop)))

    def close(self) -> None:
        """Ends what reads ahead."""
        return None

    def indices(self, start: int, stop: int) -> np.ndarray:
        """Numbers of the images that this process reads for steps start..stop-1, [stop - start, S, B]."""
        per_step, steps = self.sub_batches, stop - start
        index = self.order.batches(start * per_step, steps * per_step)
        return index.reshape(steps, per_step, self.order.batch_size)[..., self.local]


class Resident(Feed):
    """All images lie on every device."""

    def __init__(self, split: Split, *args: Any):
        super().__init__(split, *args)
        self.held = self.placement.hold(Batch(split.images[:], split.labels))  # type: ignore[arg-type]

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.indices(start, stop).astype(np.int32)

    @staticmethod
    def pick(held: Batch, given: Array) -> Batch:
        return Batch(held.images[given], held.labels[given])


class InMemory(Feed):
    """Images lie in the memory of the host."""

    def read(self, start: int, stop: int) -> Batch:
        index = self.indices(start, stop)
        return Batch(self.split.images[index], self.split.labels[index])  # type: ignore[arg-type]


class Reader(Feed):
    """Images are read and prepared by threads, or by `workers` processes, a little ahead."""

    def __init__(self, split: Split, *args: Any, total: int, workers: int):
        super().__init__(split, *args)
        self.total, self.workers = total, workers
        self.next = -1  # the step that `batches` stand before
        self.batches: Iterator[Any] = iter(())

    def read(self, start: int, stop: int) -> Batch:
        if start != self.next:
            self.close()
            self.batches = iter(self._open(start * self.sub_batches))
        count = (stop - start) * self.sub_batches
        try:
            images, labels = zip(*(next(self.batches) for _ in range(count)), strict=True)
        except Exception as error:  # grain wraps what happened in a worker
            raise _mistake(error) or error from None
        self.next = stop
        shape = (stop - start, self.sub_batches)
        return Batch(*(np.stack(x).reshape(*shape, *x[0].shape) for x in (images, labels)))  # type: ignore[arg-type]

    def close(self) -> None:
        if hasattr(self.batches, "close"):
            self.batches.close()

    def _open(self, first: int) -> grain.IterDataset:
        """Batches `first` onwards."""
        last = self.total * self.sub_batches
        size = self.local.stop - self.local.start
        where = functools.partial(_example, self.split, self.order, self.local.start, size)
        rows = grain.MapDataset.range(first * size, last * size).map(where)
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


def _mistake(error: BaseException | None) -> UserError | None:
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


def open_feed(
    split: Split,
    *,
    batch_size: int,
    sub_batches: int,
    seed: int,
    placement: Placement,
    length: int,
    total: int,
    workers: int = 0,
    labelled_rows: Sequence[int] = (),
) -> Feed:
    """Batches of `split` for a job of `total` steps, at most `length` steps a chunk.

    Args:
      split: the images; where they lie decides how they are fed.
      batch_size: images of a batch, over all processes.
      sub_batches: batches of a step.
      seed: of the order, and of random crops.
      placement: the devices.
      workers: processes that read images which are not in memory; 0: threads.
      labelled_rows: rows of each batch that are drawn from the labelled images only.

    Raises:
      UserError: the batch cannot be split over the devices, or there are no images, or none has a label
        where labelled ones are asked for.
    """
    if not len(split):
        raise UserError("there are no images to train on")
    h, w, c = split.images.shape[1:]
    step_bytes = batch_size // jax.process_count() * sub_batches * h * w * c
    fewer = max(1, min(length, CHUNK_BYTES // max(step_bytes, 1)))
    order = Order(len(split), batch_size, seed)
    if labelled_rows and len(few := labelled_images(split.labels)) < len(split):
        order = dataclasses.replace(order, few=few, few_rows=tuple(labelled_rows))
    arguments = (order, sub_batches, placement)
    if isinstance(split.images, Streamed):
        return Reader(split, *arguments, fewer, total=total, workers=workers)
    if len(split) * h * w * c <= placement.room():
        return Resident(split, *arguments, length)
    return InMemory(split, *arguments, fewer)

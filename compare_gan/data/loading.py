"""Turns the contents of a source into a data set: split, cropped, and decoded into memory if it fits."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.memory import memory_budget
from compare_gan.core.threads import parallel_map
from compare_gan.data.base import ImageDataset, Images, Split
from compare_gan.data.classes import with_used_classes
from compare_gan.data.facts import DATASET_INFO, DatasetInfo
from compare_gan.data.fit import CropResize
from compare_gan.data.holdout import with_splits
from compare_gan.data.images import dark
from compare_gan.data.records import Contents, Records, StoredSplit, joined
from compare_gan.data.streamed import Streamed

NUM_SAMPLED = 32  # number of streamed images whose range of values is checked
MAX_NAMED = 3  # maximum number of broken files listed in the log
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How a data set is read.

    >>> cg.open_dataset("digits", reading=cg.LoadOptions(image_size=16)).spec.image_shape
    (16, 16, 1)

    Raises:
      UserError: an option is invalid.
    """

    image_size: int | None = None  # centre-crop each image to a square and resize it to this side
    resize: str | None = None  # one of `compare_gan.data.fit.RESIZES`; None: Lanczos, or that of `like`
    broken: Literal["fail", "skip"] = "fail"  # how to handle image files that cannot be read
    data_dir: str | None = None  # folder of prepared TensorFlow Datasets
    like: str | None = None  # use the preset of this named data set: crop, resize, labels
    train_crop: str | None = None  # crop of the ImageNet presets, one of `compare_gan.data.preprocess.CROPS`
    eval_crop: str | None = None
    memory: int | None = None  # budget for decoded images, in bytes; None: a quarter of the RAM
    labels: str | None = None  # label file that replaces the labels of the source, see `label_files`
    holdout: float | None = None  # fraction held out if there is no test split; None: a fifth; 0: none
    test_data: str | None = None  # source whose images are the test split
    image_column: str | None = None  # of parquet files
    label_column: str | None = None  # of parquet files; "none": the images have no labels

    def __post_init__(self):
        if self.broken not in ("fail", "skip"):
            raise UserError(f"broken is {self.broken!r}; use fail or skip")
        if self.holdout is not None and not 0 <= self.holdout < 1:
            raise UserError(f"holdout is {self.holdout}; it is a fraction of the images, in [0, 1)")
        self.transforms()

    @property
    def facts(self) -> DatasetInfo | None:
        """The preset selected by `like`."""
        return DATASET_INFO.get(self.like or "")

    @property
    def preset_preprocessing(self) -> DatasetInfo | None:
        """The preset whose preprocessing is used: none if `image_size` overrides it."""
        return self.facts if self.image_size is None else None

    def transforms(self) -> tuple[CropResize, CropResize]:
        """The crop and resize of training images, and of test images."""
        if self.preset_preprocessing is None:
            return (CropResize(self.image_size, resize=self.resize or "lanczos"),) * 2
        train, test = (
            dataclasses.replace(fit, resize=self.resize or fit.resize)
            for fit in (self.preset_preprocessing.train_fit, self.preset_preprocessing.eval_fit)
        )
        if train.crop == "distorted":
            train = dataclasses.replace(train, crop=self.train_crop or train.crop)
            test = dataclasses.replace(test, crop=self.eval_crop or test.crop)
        return train, test


def load(contents: Contents, reading: LoadOptions) -> ImageDataset:
    """Loads the data set of a source.

    Images are decoded once, here, if they fit into memory and the crop is not random; otherwise on demand.

    Raises:
      UserError: images are broken, differ in size without `image_size`, or are all too small.
    """
    contents = apply_options(contents, reading)
    for note in contents.notes:
        log.warning("%s: %s", contents.path, note)
    train, test = contents.train, contents.test
    assert test is not None
    train_fit, test_fit = reading.transforms()
    channels = reading.preset_preprocessing.image_shape[2] if reading.preset_preprocessing else None
    train_split = _split(contents.path, train, train_fit, reading, channels)
    test_split = _split(contents.path, test, test_fit, reading, channels)
    (h, w, c), (th, tw, tc) = train_split.images.shape[1:], test_split.images.shape[1:]
    if (h, w) != (th, tw):
        raise UserError(
            f"{contents.path}: train images are {h}x{w} but test images are {th}x{tw}; set image_size"
        )
    _warn_if_dark(contents.path, train_split.images)
    train_split, test_split = (with_channels(split, max(c, tc)) for split in (train_split, test_split))
    return ImageDataset(
        contents.name,
        train_split,
        test_split,
        contents.class_names,
        str(test_fit),
        mirror=contents.mirror and (reading.facts is None or reading.facts.mirror),
    )


def apply_options(contents: Contents, reading: LoadOptions) -> Contents:
    """Splits, labels and filters a source as for training, without decoding images.

    Raises:
      UserError: there are no images, all are too small, or the label file does not match.
    """
    contents = with_splits(contents, reading.labels, reading.holdout)
    # With other presets, labels are assigned later.
    if reading.facts is None or reading.facts.labels in ("stored", "given"):
        contents = with_used_classes(contents)
    if reading.facts is None or not reading.facts.min_side:
        return contents
    return dataclasses.replace(
        contents, train=_with_min_side(contents.path, contents.train, reading.facts.min_side)
    )


def load_split(contents: Contents, reading: LoadOptions, which: Literal["train", "test", "all"]) -> Split:
    """Loads the training images, the test images or all images of a source, without random crops.

    Labels are indices into `contents.class_names`, including unused classes.

    Raises:
      UserError: there are no images, images are broken, or differ in size without `image_size`.
    """
    for note in contents.notes:
        log.warning("%s: %s", contents.path, note)
    if which == "all":
        part = joined([part for part in (contents.train, contents.test) if part is not None])
        if not len(part):
            raise UserError(f"{contents.path}: contains no images")
    else:
        both = with_splits(contents, None, reading.holdout)
        assert both.test is not None
        part = both.train if which == "train" else both.test
    channels = reading.facts.image_shape[2] if reading.facts else None
    return _split(contents.path, part, reading.transforms()[1], reading, channels)


def _split(
    path: str, part: StoredSplit, fit: CropResize, reading: LoadOptions, channels: int | None
) -> Split:
    if not streams(part.records, fit, reading):
        images, good = _in_memory(path, part.records, fit, reading.broken, channels)
        part = part if len(good) == len(part) else part.select(good)
        return Split(images, part.labels, Names(part.records))
    if reading.broken == "skip":
        part = _decodable(path, part)
    streamed = Streamed(part.records, fit, (*_fitted_size(part.records, fit), channels or 3))
    return Split(streamed, part.labels, Names(part.records))


def _with_min_side(path: str, part: StoredSplit, min_side: int) -> StoredSplit:
    """Drops the images whose shorter side is less than `min_side` pixels."""

    def is_large(i: int) -> bool:
        try:
            return min(part.records.size(i)) >= min_side
        except UserError:
            return True  # reported when the image is read

    index = np.flatnonzero(list(parallel_map(f"measuring {path}", len(part), is_large)))
    if not len(index):
        raise UserError(f"{path}: no training image has a shorter side of at least {min_side} pixels")
    return part if len(index) == len(part) else part.select(index)


@dataclasses.dataclass(frozen=True, eq=False)
class Names(Sequence[str]):
    """The names of records."""

    records: Records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self.records.name(k) for k in range(len(self))[i]]
        return self.records.name(range(len(self))[i])


def streams(records: Records, fit: CropResize, reading: LoadOptions) -> bool:
    """Whether images are decoded on demand: they exceed the memory budget, or the crop is random."""
    budget = memory_budget() if reading.memory is None else reading.memory
    return fit.random or bytes_needed(records, fit) > budget


def bytes_needed(records: Records, fit: CropResize) -> int:
    """Estimated size in memory: all images RGB and as large as the first."""
    h, w = _fitted_size(records, fit)
    return len(records) * h * w * 3


def _fitted_size(records: Records, fit: CropResize) -> tuple[int, int]:
    if fit.size is not None:
        return fit.size, fit.size
    for i in range(len(records)):
        try:
            return records.size(i)
        except UserError:  # reported when the image is read
            continue
    return 0, 0


def _in_memory(
    path: str, records: Records, fit: CropResize, broken: str, channels: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes all readable images [M, H, W, C], and returns their indices [M]."""
    images, good, bad = np.empty((0, 0, 0, 3), np.uint8), list[int](), list[UserError]()
    depth, first = 1, 0
    for i, image in enumerate(
        decode_each(path, records, lambda i, image: fit(image, np.random.default_rng(i)))
    ):
        if isinstance(image, UserError):
            bad.append(image)
            continue
        if not good:
            images, first = np.empty((len(records), *image.shape[:2], 3), np.uint8), i
        (h, w), (h0, w0) = image.shape[:2], images.shape[1:3]
        if (h, w) != (h0, w0):
            raise UserError(
                f"{records.where(i)}: {h}x{w}, but {records.where(first)} is {h0}x{w0}; "
                f"set image_size to crop and resize all"
            )
        images[len(good)] = image
        depth = max(depth, image.shape[2])
        good.append(i)
    _report_broken(path, bad, len(records), broken)
    if channels == 1 and depth == 3:
        raise UserError(f"{path}: has colour images; expected grey images")
    depth = channels or depth
    return (images[: len(good)] if depth == 3 else images[: len(good), ..., :1].copy()), np.array(good)


def _decodable(path: str, part: StoredSplit) -> StoredSplit:
    """Drops the images that cannot be decoded; decodes each image once."""
    errors = list(decode_each(path, part.records, lambda i, image: None))
    bad = [error for error in errors if error is not None]
    _report_broken(path, bad, len(part), "skip")
    return part.select(np.flatnonzero([error is None for error in errors])) if bad else part


def decode_each(path: str, records: Records, use: Callable[[int, np.ndarray], T]) -> Iterator[T | UserError]:
    """Yields `use(index, pixels)` for each image, or the error if it cannot be decoded."""

    def read(i: int) -> T | UserError:
        try:
            return use(i, records[i])
        except UserError as error:
            return error

    return parallel_map(f"reading {path}", len(records), read)


def _report_broken(path: str, bad: list[UserError], count: int, broken: str) -> None:
    """Logs the names and the number of broken images.

    Raises:
      UserError: there are broken images and `broken` is "fail", or all images are broken.
    """
    if not bad:
        return
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    if broken == "fail":
        raise UserError(f"{bad[0]}{more}; or skip them with --broken skip")
    if len(bad) == count:
        raise UserError(f"{path}: none of {count} images can be read; first error: {bad[0]}")
    for error in bad[:MAX_NAMED]:
        log.warning("skipped: %s", error)
    log.warning("%s: skipped %d of %d images, which cannot be read", path, len(bad), count)


def _warn_if_dark(path: str, images: Images) -> None:
    """Warns if images are nearly black. Checks only a sample of streamed images."""
    if isinstance(images, Streamed):
        sample = np.linspace(0, len(images) - 1, min(NUM_SAMPLED, len(images))).astype(int)
        maxima = (_brightest(images.records, i) for i in sample.tolist())
        note = dark(max((value for value in maxima if value is not None), default=255))
    else:
        note = dark(int(images[:].max(initial=0)))
    if note:
        log.warning("%s: %s", path, note)


def _brightest(records: Records, i: int) -> int | None:
    try:
        return int(records[i].max())
    except UserError:  # reported when the image is read
        return None


def with_channels(split: Split, channels: int) -> Split:
    """The split with grey images repeated to this number of channels."""
    images: Images = split.images
    if images.shape[3] == channels:
        return split
    if isinstance(images, Streamed):
        images = dataclasses.replace(images, image_shape=(*images.image_shape[:2], channels))
    else:
        images = np.repeat(images[:], channels, axis=3)
    return dataclasses.replace(split, images=images)

"""From what a source holds to a data set: held out, cropped, and in memory if it fits there."""

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
from compare_gan.data.records import Contents, Part, Records, joined
from compare_gan.data.streamed import Streamed

SAMPLE = 32  # streamed images that are tried for their range of values
NAMED = 3  # broken files that a message names
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How a data set is read.

    Raises:
      UserError: a choice that there is not.
    """

    image_size: int | None = None  # crop each image to its middle square and resize that to this side
    resize: str | None = None  # how: one of `compare_gan.data.fit.RESIZES`; None: Lanczos, or as `like`
    broken: Literal["fail", "skip"] = "fail"  # what to do about image files that cannot be read
    data_dir: str | None = None  # where TensorFlow Datasets keeps what it prepared
    like: str | None = None  # crop, resize and choose as compare_gan does for the data set of this name
    train_crop: str | None = None  # how ImageNet is cropped, one of `compare_gan.data.preprocess.CROPS`
    eval_crop: str | None = None
    memory: int | None = None  # bytes that decoded images may take; None: a quarter of the machine's
    labels: str | None = None  # label file that replaces the labels of the source, see `label_files`
    holdout: float | None = None  # share held out where there is no test split; None: a fifth; 0: none
    test_data: str | None = None  # source whose images are the test split
    image_column: str | None = None  # of parquet files
    label_column: str | None = None  # of parquet files; "none": the images have no labels

    def __post_init__(self):
        if self.broken not in ("fail", "skip"):
            raise UserError(f"broken is {self.broken!r}; use fail or skip")
        if self.holdout is not None and not 0 <= self.holdout < 1:
            raise UserError(f"holdout is {self.holdout}; it is a share of the images, in [0, 1)")
        self.fits()

    @property
    def facts(self) -> DatasetInfo | None:
        """What is known of the data set that it is to be like."""
        return DATASET_INFO.get(self.like or "")

    @property
    def preset_preprocessing(self) -> DatasetInfo | None:
        """The same, if it is to look like that, too: images of a given size do not."""
        return self.facts if self.image_size is None else None

    def fits(self) -> tuple[CropResize, CropResize]:
        """How training images become squares, and how test images do."""
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
    """The data set that a source holds.

    Images are decoded here, once, if they fit into memory and are the same each time; else when wanted.

    Raises:
      UserError: images are broken, differ in size and none was given, or are all too small.
    """
    contents = divided(contents, reading)
    for note in contents.notes:
        log.warning("%s: %s", contents.path, note)
    train, test = contents.train, contents.test
    assert test is not None
    train_fit, test_fit = reading.fits()
    channels = reading.preset_preprocessing.image_shape[2] if reading.preset_preprocessing else None
    one = _split(contents.path, train, train_fit, reading, channels)
    other = _split(contents.path, test, test_fit, reading, channels)
    (h, w, c), (th, tw, tc) = one.images.shape[1:], other.images.shape[1:]
    if (h, w) != (th, tw):
        raise UserError(
            f"{contents.path}: train images are {h}x{w} but test images {th}x{tw}; give image_size"
        )
    _warn_if_dark(contents.path, one.images)
    one, other = deepened(one, max(c, tc)), deepened(other, max(c, tc))
    return ImageDataset(contents.name, one, other, contents.class_names, str(test_fit))


def divided(contents: Contents, reading: LoadOptions) -> Contents:
    """A source as training sees it, before an image is decoded: see `compare_gan.data.holdout`.

    Raises:
      UserError: there are no images, all are too small, or a label file does not fit.
    """
    contents = with_splits(contents, reading.labels, reading.holdout)
    if reading.facts is None or reading.facts.labels in ("stored", "given"):  # else labels are still to come
        contents = with_used_classes(contents)
    if reading.facts is None or not reading.facts.least_side:
        return contents
    return dataclasses.replace(
        contents, train=_large(contents.path, contents.train, reading.facts.least_side)
    )


def load_split(contents: Contents, reading: LoadOptions, which: Literal["train", "test", "all"]) -> Split:
    """The images that a source has for training, for tests, or in all, none of them cropped at random.

    Labels are indices into `contents.class_names`, used or not.

    Raises:
      UserError: there are none, images are broken, or differ in size and none was given.
    """
    for note in contents.notes:
        log.warning("%s: %s", contents.path, note)
    if which == "all":
        part = joined([part for part in (contents.train, contents.test) if part is not None])
        if not len(part):
            raise UserError(f"{contents.path}: holds no images")
    else:
        both = with_splits(contents, None, reading.holdout)
        assert both.test is not None
        part = both.train if which == "train" else both.test
    channels = reading.facts.image_shape[2] if reading.facts else None
    return _split(contents.path, part, reading.fits()[1], reading, channels)


def _split(path: str, part: Part, fit: CropResize, reading: LoadOptions, channels: int | None) -> Split:
    if not streams(part.records, fit, reading):
        images, good = _in_memory(path, part.records, fit, reading.broken, channels)
        part = part if len(good) == len(part) else part.chosen(good)
        return Split(images, part.labels, Names(part.records))
    if reading.broken == "skip":
        part = _readable(path, part)
    streamed = Streamed(part.records, fit, (*_fitted_size(part.records, fit), channels or 3))
    return Split(streamed, part.labels, Names(part.records))


def _large(path: str, part: Part, least: int) -> Part:
    """Without the images that have fewer pixels on the shorter side."""

    def large(i: int) -> bool:
        try:
            return min(part.records.size(i)) >= least
        except UserError:
            return True  # to be told of by who reads it

    index = np.flatnonzero(list(parallel_map(f"measuring {path}", len(part), large)))
    if not len(index):
        raise UserError(f"{path}: no training image has {least} pixels on its shorter side")
    return part if len(index) == len(part) else part.chosen(index)


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
    """Whether images are read when they are wanted, for there are too many, or they differ each time."""
    most = memory_budget() if reading.memory is None else reading.memory
    return fit.random or bytes_needed(records, fit) > most


def bytes_needed(records: Records, fit: CropResize) -> int:
    """What the images take in memory, if all are as large as the first and have colours."""
    h, w = _fitted_size(records, fit)
    return len(records) * h * w * 3


def _fitted_size(records: Records, fit: CropResize) -> tuple[int, int]:
    if fit.size is not None:
        return fit.size, fit.size
    for i in range(len(records)):
        try:
            return records.size(i)
        except UserError:  # to be told of by who reads it
            continue
    return 0, 0


def _in_memory(
    path: str, records: Records, fit: CropResize, broken: str, channels: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """All images that can be read [M, H, W, C], and their numbers."""
    whole, good, bad = np.empty((0, 0, 0, 3), np.uint8), list[int](), list[UserError]()
    depth, first = 1, 0
    for i, image in enumerate(
        decode_each(path, records, lambda i, image: fit(image, np.random.default_rng(i)))
    ):
        if isinstance(image, UserError):
            bad.append(image)
            continue
        if not good:
            whole, first = np.empty((len(records), *image.shape[:2], 3), np.uint8), i
        (h, w), (h0, w0) = image.shape[:2], whole.shape[1:3]
        if (h, w) != (h0, w0):
            raise UserError(
                f"{records.where(i)}: {h}x{w}, but {records.where(first)} is {h0}x{w0}; "
                f"give image_size to crop and resize all"
            )
        whole[len(good)] = image
        depth = max(depth, image.shape[2])
        good.append(i)
    _tell(path, bad, len(records), broken)
    if channels == 1 and depth == 3:
        raise UserError(f"{path}: has colour images; wanted grey ones")
    depth = channels or depth
    return (whole[: len(good)] if depth == 3 else whole[: len(good), ..., :1].copy()), np.array(good)


def _readable(path: str, part: Part) -> Part:
    """Without the images that cannot be decoded; each is tried once."""
    found = list(decode_each(path, part.records, lambda i, image: None))
    bad = [error for error in found if error is not None]
    _tell(path, bad, len(part), "skip")
    return part.chosen(np.flatnonzero([error is None for error in found])) if bad else part


def decode_each(path: str, records: Records, use: Callable[[int, np.ndarray], T]) -> Iterator[T | UserError]:
    """What `use` makes of each image, of its number and pixels; or what is wrong with the image."""

    def read(i: int) -> T | UserError:
        try:
            return use(i, records[i])
        except UserError as error:
            return error

    return parallel_map(f"reading {path}", len(records), read)


def _tell(path: str, bad: list[UserError], count: int, broken: str) -> None:
    """Names broken images and counts them.

    Raises:
      UserError: there are some and that is fatal, or there are no others.
    """
    if not bad:
        return
    more = f" (and {len(bad) - 1} more like it)" if len(bad) > 1 else ""
    if broken == "fail":
        raise UserError(f"{bad[0]}{more}; or pass them over with --broken skip")
    if len(bad) == count:
        raise UserError(f"{path}: none of {count} images can be read; the first: {bad[0]}")
    for error in bad[:NAMED]:
        log.warning("skipped: %s", error)
    log.warning("%s: skipped %d of %d images, which cannot be read", path, len(bad), count)


def _warn_if_dark(path: str, images: Images) -> None:
    """Warns of images that are nearly black. Of images that are decoded when wanted, some are tried."""
    if isinstance(images, Streamed):
        some = np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int)
        tries = (_brightest(images.records, i) for i in some.tolist())
        note = dark(max((value for value in tries if value is not None), default=255))
    else:
        note = dark(int(images[:].max(initial=0)))
    if note:
        log.warning("%s: %s", path, note)


def _brightest(records: Records, i: int) -> int | None:
    try:
        return int(records[i].max())
    except UserError:  # raised again when the image is wanted
        return None


def deepened(split: Split, depth: int) -> Split:
    """The split with grey images repeated to `depth` channels."""
    images: Images = split.images
    if images.shape[3] == depth:
        return split
    if isinstance(images, Streamed):
        images = dataclasses.replace(images, image_shape=(*images.image_shape[:2], depth))
    else:
        images = np.repeat(images[:], depth, axis=3)
    return dataclasses.replace(split, images=images)

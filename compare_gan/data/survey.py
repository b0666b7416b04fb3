"""What a data set holds, with every image tried; and pictures of some."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.memory import memory_budget
from compare_gan.data.base import UNLABELLED, hardened
from compare_gan.data.fit import CropResize
from compare_gan.data.images import dark
from compare_gan.data.loading import LoadOptions, decode_each, streams
from compare_gan.data.records import Contents, Part

ROWS, COLUMNS = 10, 10  # of a contact sheet; with more classes than rows it is a mixture
TILE = 64  # small images are enlarged to about this side
LARGEST_TILE = 128


@dataclasses.dataclass(frozen=True)
class Spread:
    """A number that each image has."""

    least: int
    median: float
    most: int


@dataclasses.dataclass(frozen=True)
class SplitSurvey:
    """One split. Sizes are those that are stored, of the images that can be read."""

    images: int
    unlabelled: int
    class_counts: tuple[int, ...]  # labelled images of each class; soft labels count as their likeliest class
    broken: tuple[str, ...]  # what is wrong with each image that cannot be read
    heights: Spread
    widths: Spread
    sizes: int  # how many differ
    grey: int
    darkest: int  # least and largest value of all pixels, of 255
    brightest: int
    fit: str  # what is done to them
    streams: bool  # read when they are wanted; else once, into memory


@dataclasses.dataclass(frozen=True)
class Survey:
    """A data set as training would see it."""

    path: str
    held_out: bool  # the source has no test split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None  # H, W, C; None: images differ in size
    memory: int  # bytes that images may take
    train: SplitSurvey
    test: SplitSurvey
    notes: tuple[str, ...]  # what a user should know: skipped files, side files, dark images
    problems: tuple[str, ...]  # why nothing can be trained on it as it is


def survey(contents: Contents, reading: LoadOptions, held_out: bool = False) -> Survey:
    """Decodes every image once.

    Args:
      contents: both splits, as `compare_gan.data.loading.divided` returns them.
      reading: how they are read.
      held_out: whether the source itself has no test split.

    Raises:
      UserError: no image can be read.
    """
    assert contents.test is not None
    train, test = (
        _survey(contents, part, fit, reading)
        for part, fit in zip((contents.train, contents.test), reading.fits(), strict=True)
    )
    shape, broken = _image_shape((train, test), reading), len(train.broken) + len(test.broken)
    problems = []
    if broken and reading.broken == "fail":
        problems.append(f"{broken} images cannot be read; repair or remove them, or pass --broken skip")
    if shape is None:
        problems.append("images differ in size; give --image_size to crop and resize all")
    return Survey(
        path=contents.path,
        held_out=held_out,
        class_names=contents.class_names,
        image_shape=shape,
        memory=memory_budget() if reading.memory is None else reading.memory,
        train=train,
        test=test,
        notes=(*contents.notes, *([note] if (note := dark(train.brightest)) else [])),
        problems=tuple(problems),
    )


def _survey(contents: Contents, part: Part, fit: CropResize, reading: LoadOptions) -> SplitSurvey:
    found = list(
        decode_each(
            contents.path, part.records, lambda i, image: (*image.shape, int(image.min()), int(image.max()))
        )
    )
    broken = tuple(str(one) for one in found if isinstance(one, UserError))
    shapes = np.array([one for one in found if not isinstance(one, UserError)])
    if not len(shapes):
        raise UserError(f"{contents.path}: none of {len(part)} images can be read; the first: {broken[0]}")
    classes = hardened(part.labels)
    counts = np.bincount(classes[classes != UNLABELLED], minlength=len(contents.class_names))
    return SplitSurvey(
        images=len(part),
        unlabelled=int((classes == UNLABELLED).sum()),
        class_counts=tuple(counts.tolist()),
        broken=broken,
        heights=_spread(shapes[:, 0]),
        widths=_spread(shapes[:, 1]),
        sizes=len(np.unique(shapes[:, :2], axis=0)),
        grey=int((shapes[:, 2] == 1).sum()),
        darkest=int(shapes[:, 3].min()),
        brightest=int(shapes[:, 4].max()),
        fit=str(fit),
        streams=streams(part.records, fit, reading),
    )


def _spread(values: np.ndarray) -> Spread:
    return Spread(int(values.min()), float(np.median(values)), int(values.max()))


def _image_shape(splits: Sequence[SplitSurvey], reading: LoadOptions) -> tuple[int, int, int] | None:
    if reading.preset_preprocessing is not None:
        return reading.preset_preprocessing.image_shape
    depth = 1 if all(s.grey + len(s.broken) == s.images and not s.streams for s in splits) else 3
    if reading.image_size is not None:
        return (reading.image_size, reading.image_size, depth)
    sizes = {(s.heights.least, s.heights.most, s.widths.least, s.widths.most) for s in splits}
    (h, tallest, w, widest), *others = sizes
    return None if others or (h, w) != (tallest, widest) else (h, w, depth)


def contact_sheet(contents: Contents, reading: LoadOptions) -> tuple[np.ndarray, int, int]:
    """Training images as networks see them, in the middle of their square: [rows * columns, H, W, 3].

    Each of up to ten classes has a row, and so have unlabelled images; more classes, or none, are mixed.

    Args:
      contents: as for `survey`.
      reading: how images are read.

    Returns:
      The tiles, and how many rows and columns of them there are.

    Raises:
      UserError: no image can be read.
    """
    part, fit = contents.train, reading.fits()[1]  # that of test images is never random
    classes = hardened(part.labels)
    groups = [np.flatnonzero(classes == i) for i in (*range(len(contents.class_names)), UNLABELLED)]
    if not 1 < len(groups) <= ROWS + 1:
        mixed = list(_pictures(part, fit, np.arange(len(part)), ROWS * COLUMNS))
        rows = [mixed[i : i + COLUMNS] for i in range(0, len(mixed), COLUMNS)]
    else:
        rows = [list(_pictures(part, fit, group, COLUMNS)) for group in groups if len(group)]
    if not any(rows):
        raise UserError(f"{contents.path}: no image can be read")
    side = min(LARGEST_TILE, max(min(image.shape[:2]) for row in rows for image in row))
    blank = np.full((side, side, 3), 255, np.uint8)
    tiles = [_tile(image, side) for row in rows for image in [*row, *[blank] * (COLUMNS - len(row))]]
    return np.stack(tiles), len(rows), COLUMNS


def _pictures(part: Part, fit: CropResize, members: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Up to `count` of these images, at even distances; others for those that cannot be read."""
    even = np.arange(count) * len(members) // count
    left = count
    for i in members[list(dict.fromkeys([*even.tolist(), *range(len(members))]))].tolist():
        if not left:
            return
        try:
            yield fit(part.records[i], np.random.default_rng(i))
        except UserError:
            continue
        left -= 1


def _tile(image: np.ndarray, side: int) -> np.ndarray:
    """[h, w, 1 or 3] to a square with a white line around it: the middle, enlarged if it is small."""
    square = np.broadcast_to(CropResize(side)(image, np.random.default_rng(0)), (side, side, 3))
    larger = square.repeat(max(1, TILE // side), axis=0).repeat(max(1, TILE // side), axis=1)
    return np.pad(larger, ((1, 1), (1, 1), (0, 0)), constant_values=255)

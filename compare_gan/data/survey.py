"""Statistics of a data set from decoding every image, and a contact sheet."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.memory import memory_budget
from compare_gan.data.base import UNLABELLED, hardened
from compare_gan.data.fit import CropResize
from compare_gan.data.images import dark
from compare_gan.data.loading import LoadOptions, decode_each, streams
from compare_gan.data.records import Contents, StoredSplit

ROWS, COLUMNS = 10, 10  # of a contact sheet; with more classes than rows, classes are mixed
TILE = 64  # small images are enlarged to about this side
MAX_TILE = 128


@dataclasses.dataclass(frozen=True)
class ValueRange:
    """The range and median of a per-image value."""

    least: int
    median: float
    most: int


@dataclasses.dataclass(frozen=True)
class SplitSurvey:
    """Statistics of one split. Sizes are stored sizes, of the readable images."""

    images: int
    unlabelled: int
    class_counts: tuple[int, ...]  # labelled images per class; soft labels count as their argmax
    broken: tuple[str, ...]  # one error message per unreadable image
    heights: ValueRange
    widths: ValueRange
    sizes: int  # number of distinct sizes
    grey: int
    darkest: int  # smallest and largest pixel value, of 255
    brightest: int
    fit: str  # crop and resize
    streams: bool  # decoded on demand; otherwise once, into memory


@dataclasses.dataclass(frozen=True)
class Survey:
    """Statistics of a data set as training would read it."""

    path: str
    held_out: bool  # the source has no test split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None  # H, W, C; None: images differ in size
    memory: int  # memory budget in bytes
    train: SplitSurvey
    test: SplitSurvey
    notes: tuple[str, ...]  # notes for the user: skipped files, side files, dark images
    problems: tuple[str, ...]  # reasons why training would fail


def survey(contents: Contents, reading: LoadOptions, held_out: bool = False) -> Survey:
    """Computes the statistics by decoding every image once.

    Args:
      contents: both splits, as `compare_gan.data.loading.apply_options` returns them.
      reading: the options.
      held_out: whether the source itself has no test split.

    Raises:
      UserError: no image can be read.
    """
    assert contents.test is not None
    train, test = (
        _survey(contents, part, fit, reading)
        for part, fit in zip((contents.train, contents.test), reading.transforms(), strict=True)
    )
    shape, broken = _image_shape((train, test), reading), len(train.broken) + len(test.broken)
    problems = []
    if broken and reading.broken == "fail":
        problems.append(f"{broken} images cannot be read; repair or delete them, or pass --broken skip")
    if shape is None:
        problems.append("images differ in size; set --image_size to crop and resize all")
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


def _survey(contents: Contents, part: StoredSplit, fit: CropResize, reading: LoadOptions) -> SplitSurvey:
    results = list(
        decode_each(
            contents.path, part.records, lambda i, image: (*image.shape, int(image.min()), int(image.max()))
        )
    )
    broken = tuple(str(result) for result in results if isinstance(result, UserError))
    shapes = np.array([result for result in results if not isinstance(result, UserError)])
    if not len(shapes):
        raise UserError(f"{contents.path}: none of {len(part)} images can be read; first error: {broken[0]}")
    classes = hardened(part.labels)
    counts = np.bincount(classes[classes != UNLABELLED], minlength=len(contents.class_names))
    return SplitSurvey(
        images=len(part),
        unlabelled=int((classes == UNLABELLED).sum()),
        class_counts=tuple(counts.tolist()),
        broken=broken,
        heights=_value_range(shapes[:, 0]),
        widths=_value_range(shapes[:, 1]),
        sizes=len(np.unique(shapes[:, :2], axis=0)),
        grey=int((shapes[:, 2] == 1).sum()),
        darkest=int(shapes[:, 3].min()),
        brightest=int(shapes[:, 4].max()),
        fit=str(fit),
        streams=streams(part.records, fit, reading),
    )


def _value_range(values: np.ndarray) -> ValueRange:
    return ValueRange(int(values.min()), float(np.median(values)), int(values.max()))


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
    """Training images after preprocessing, centre-cropped to squares: [rows * columns, H, W, 3].

    Up to ten classes get a row each, as do unlabelled images; with more classes, or none, images are mixed.

    Args:
      contents: as for `survey`.
      reading: the options.

    Returns:
      The tiles, the number of rows and the number of columns.

    Raises:
      UserError: no image can be read.
    """
    part, fit = contents.train, reading.transforms()[1]  # the test transform is never random
    classes = hardened(part.labels)
    groups = [np.flatnonzero(classes == i) for i in (*range(len(contents.class_names)), UNLABELLED)]
    if not 1 < len(groups) <= ROWS + 1:
        mixed = list(_pictures(part, fit, np.arange(len(part)), ROWS * COLUMNS))
        rows = [mixed[i : i + COLUMNS] for i in range(0, len(mixed), COLUMNS)]
    else:
        rows = [list(_pictures(part, fit, group, COLUMNS)) for group in groups if len(group)]
    if not any(rows):
        raise UserError(f"{contents.path}: no image can be read")
    side = min(MAX_TILE, max(min(image.shape[:2]) for row in rows for image in row))
    blank = np.full((side, side, 3), 255, np.uint8)
    tiles = [_tile(image, side) for row in rows for image in [*row, *[blank] * (COLUMNS - len(row))]]
    return np.stack(tiles), len(rows), COLUMNS


def _pictures(part: StoredSplit, fit: CropResize, members: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Up to `count` of these images, evenly spaced; unreadable images are replaced by others."""
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
    """[h, w, 1 or 3] to a centre-cropped square with a white border, enlarged if it is small."""
    square = np.broadcast_to(CropResize(side)(image, np.random.default_rng(0)), (side, side, 3))
    larger = square.repeat(max(1, TILE // side), axis=0).repeat(max(1, TILE // side), axis=1)
    return np.pad(larger, ((1, 1), (1, 1), (0, 0)), constant_values=255)

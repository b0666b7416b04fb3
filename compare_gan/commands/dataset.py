"""Report the contents of a data set."""

import argparse
import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from compare_gan.commands.shared import (
    add_labels_file,
    add_overwrite,
    add_reading,
    check_outputs,
    declare,
    reading,
)
from compare_gan.core.errors import UserError, printable
from compare_gan.core.tables import Cell, Table, text, wrapped
from compare_gan.core.words import amount, counted

if TYPE_CHECKING:
    from compare_gan.data.survey import Survey

MAX_CLASSES = 20  # with more, only the largest and the smallest classes are listed
NUM_EXTREMES = 3  # number of largest and of smallest classes listed
MAX_NAME = 24  # characters of a class name that are shown
MAX_BROKEN = 10  # broken images listed on the terminal


def add(commands) -> None:
    parser = declare(
        commands,
        dataset,
        "dataset",
        "Decode every image of a data set and report its splits, classes, sizes and broken files.",
        "path/to/images --image_size 64 --out contact.png",
    )
    parser.add_argument("source", metavar="PATH_OR_NAME", nargs="+", help="data set, as for --data")
    parser.add_argument("--out", help="PNG file for a contact sheet, one row per class if there are few")
    parser.add_argument("--json", help="JSON file for the full report, with every broken file")
    add_overwrite(parser)
    add_labels_file(parser)
    add_reading(parser)


def dataset(arguments: argparse.Namespace) -> None:
    from compare_gan.core.files import write_json
    from compare_gan.core.pictures import check_picture, write_picture
    from compare_gan.data.loading import apply_options
    from compare_gan.data.source import find, with_preset
    from compare_gan.data.survey import contact_sheet, survey

    check_outputs(arguments, ["out", "json"], [arguments.labels, arguments.test_data], arguments.source)
    if arguments.out:
        check_picture(Path(arguments.out), 1, 1)
    load_options = reading(arguments, labels=arguments.labels)
    if len(arguments.source) == 1:
        load_options = with_preset(arguments.source[0], load_options)
    source = find(arguments.source, load_options)
    contents = apply_options(source, load_options)
    report = survey(contents, load_options, held_out=source.test is None)
    print(text(parts(report)))
    if arguments.json:
        write_json(Path(arguments.json), dataclasses.asdict(report))
    if arguments.out:
        write_picture(Path(arguments.out), *contact_sheet(contents, load_options))
        print(f"contact sheet: {arguments.out}")
    if report.problems:
        raise UserError(f"{report.path}: cannot be used as it is; see the errors above")


def parts(found: "Survey") -> Iterator[str | Table]:
    """The survey as lines and tables."""
    splits = (found.train, found.test)
    yield printable(found.path)
    yield ""
    yield image_table(found)
    yield ""
    yield from size_parts(found)
    yield ""
    yield from class_parts(found)
    yield ""
    if found.image_shape is not None:
        sizes = (math.prod(found.image_shape) * (split.images - len(split.broken)) for split in splits)
        rows = [
            ("as network input", *["x".join(map(str, found.image_shape))] * 2),
            (f"  bytes, of {amount(found.memory)}", *map(amount, sizes)),
            ("  read", *("on demand" if split.streams else "into memory" for split in splits)),
        ]
        yield Table(rows, fixed=True)
        for name, split in zip(("train", "test"), splits, strict=True):
            yield f"  {name} images: {split.fit}"
    for note in found.notes:
        yield from wrapped(note, "note:    ")
    broken = [*found.train.broken, *found.test.broken]
    for message in broken[:MAX_BROKEN]:
        yield f"broken:  {message}"
    if len(broken) > MAX_BROKEN:
        yield f"         and {counted(len(broken) - MAX_BROKEN, 'more image')}; --json lists all"
    for message in found.problems:
        yield from wrapped(message, "error:   ")


def image_table(found: "Survey") -> Table:
    splits = (found.train, found.test)
    rows: list[tuple[Cell, ...]] = [
        ("", "train", "test, held out" if found.held_out else "test"),
        ("images", *(split.images for split in splits)),
    ]
    for name, numbers in (
        ("unlabelled", [split.unlabelled for split in splits]),
        ("broken", [len(split.broken) for split in splits]),
        ("grey", [split.grey for split in splits]),
        ("colour", [split.images - len(split.broken) - split.grey for split in splits]),
    ):
        if any(numbers):
            rows.append((f"  {name}", *numbers))
            if name == "unlabelled":
                rows.append(("", *(f"{n / s.images:.1%}" for n, s in zip(numbers, splits, strict=True))))
    rows.append(("values, of 255", *(f"{split.darkest} to {split.brightest}" for split in splits)))
    return Table(rows, fixed=True)


def size_parts(found: "Survey") -> Iterator[str | Table]:
    splits = {"train": found.train, "test": found.test}
    if all(split.sizes == 1 for split in splits.values()):
        sizes = (f"{s.heights.least}x{s.widths.least}" for s in splits.values())
        yield Table([("stored as", *sizes)], fixed=True)
        return
    rows: list[tuple[Cell, ...]] = [("stored as", "min", "median", "max")]
    for name, split in splits.items():
        for side, of in (("height", split.heights), ("width", split.widths)):
            rows.append((f"  {name}, {side}", of.least, f"{of.median:,g}", of.most))
        rows.append((f"  {name}: {counted(split.sizes, 'size')}",))
    yield Table(rows, fixed=True)


def class_parts(found: "Survey") -> Iterator[str | Table]:
    """Images per class; with many classes, only for the largest and the smallest."""
    names, train, test = found.class_names, found.train.class_counts, found.test.class_counts
    if not names:
        yield "no classes"
        return

    def rows_of(classes: Iterable[int]) -> list[tuple[Cell, ...]]:
        return [(shortened(names[i]), train[i], test[i]) for i in classes]

    rows: list[tuple[Cell, ...]] = [("class", "train", "test")]
    if len(names) <= MAX_CLASSES:
        rows += rows_of(range(len(names)))
    else:
        by_size = sorted(range(len(names)), key=lambda i: -train[i])
        rows += rows_of(by_size[:NUM_EXTREMES])
        rows.append((f"  ... {len(names) - 2 * NUM_EXTREMES:,} more ...",))
        rows += rows_of(by_size[-NUM_EXTREMES:])
    yield Table(rows, fixed=True)
    if len(names) > 1:
        least, most, median = min(train), max(train), statistics.median(train)
        yield f"  {len(names):,} classes of {least:,} to {most:,} training images, median {median:,g}"


def shortened(name: str) -> str:
    name = printable(name)
    return f"  {name if len(name) <= MAX_NAME else name[: MAX_NAME - 3] + '...'}"

"""Tell what a data set holds."""

import argparse
import dataclasses
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from compare_gan.commands.shared import add_labels_file, add_reading, declare, reading
from compare_gan.core.errors import UserError, printable
from compare_gan.core.tables import row, wrapped
from compare_gan.core.words import amount, counted

if TYPE_CHECKING:
    from compare_gan.data.survey import Survey

CLASSES = 20  # of more, only the largest and smallest are listed
ENDS = 3  # so many of each
NAME = 24  # letters of a class that are shown
BROKEN = 10  # broken images that are listed


def add(commands) -> None:
    made = declare(
        commands,
        dataset,
        "dataset",
        "Try every image of a data set, and tell what was found: splits, classes, sizes, broken files.",
        "path/to/images --image_size 64 --out contact.png",
    )
    made.add_argument("source", metavar="PATH_OR_NAME", nargs="+", help="as --data of other commands")
    made.add_argument("--out", help="PNG file for some of the images, a row for each class if these are few")
    made.add_argument("--json", help="file for all that is told, and every broken file")
    add_labels_file(made)
    add_reading(made)


def dataset(arguments: argparse.Namespace) -> None:
    from compare_gan.core.files import run_folder, write_json
    from compare_gan.core.pictures import write_picture
    from compare_gan.data.loading import apply_options
    from compare_gan.data.source import find, with_preset
    from compare_gan.data.survey import contact_sheet, survey

    for path in filter(None, (arguments.out, arguments.json)):
        run_folder(Path(path).parent)
    how = reading(arguments, labels=arguments.labels)
    if len(arguments.source) == 1:
        how = with_preset(arguments.source[0], how)
    source = find(arguments.source, how)
    contents = apply_options(source, how)
    found = survey(contents, how, held_out=source.test is None)
    print("\n".join(lines(found)))
    if arguments.json:
        write_json(Path(arguments.json), dataclasses.asdict(found))
    if arguments.out:
        write_picture(Path(arguments.out), *contact_sheet(contents, how))
        print(f"contact sheet: {arguments.out}")
    if found.problems:
        raise UserError(f"{found.path}: cannot be used as it is; see the errors above")


def lines(found: "Survey") -> Iterator[str]:
    """A survey as text for a terminal."""
    splits = (found.train, found.test)
    yield printable(found.path)
    yield ""
    yield row("", "train", "test, held out" if found.held_out else "test")
    yield row("images", *(split.images for split in splits))
    for name, numbers in (
        ("unlabelled", [split.unlabelled for split in splits]),
        ("broken", [len(split.broken) for split in splits]),
        ("grey", [split.grey for split in splits]),
        ("colour", [split.images - len(split.broken) - split.grey for split in splits]),
    ):
        if any(numbers):
            yield row(f"  {name}", *numbers)
            if name == "unlabelled":
                yield row("", *(f"{n / s.images:.1%}" for n, s in zip(numbers, splits, strict=True)))
    yield row("values, of 255", *(f"{split.darkest} to {split.brightest}" for split in splits))
    yield ""
    yield from size_lines(found)
    yield ""
    yield from class_lines(found)
    yield ""
    if found.image_shape is not None:
        yield row("as networks see them", *["x".join(map(str, found.image_shape))] * 2)
        sizes = (math.prod(found.image_shape) * (split.images - len(split.broken)) for split in splits)
        yield row(f"  bytes, of {amount(found.memory)}", *map(amount, sizes))
        yield row("  read", *("when needed" if split.streams else "into memory" for split in splits))
        for name, split in zip(("train", "test"), splits, strict=True):
            yield f"  {name} images: {split.fit}"
    for note in found.notes:
        yield from wrapped(note, "note:    ")
    broken = [*found.train.broken, *found.test.broken]
    for message in broken[:BROKEN]:
        yield f"broken:  {message}"
    if len(broken) > BROKEN:
        yield f"         and {counted(len(broken) - BROKEN, 'more image')}; --json lists all"
    for message in found.problems:
        yield from wrapped(message, "error:   ")


def size_lines(found: "Survey") -> Iterator[str]:
    splits = {"train": found.train, "test": found.test}
    if all(split.sizes == 1 for split in splits.values()):
        yield row("stored as", *(f"{s.heights.least}x{s.widths.least}" for s in splits.values()))
        return
    yield row("stored as", "least", "median", "most")
    for name, split in splits.items():
        for side, of in (("height", split.heights), ("width", split.widths)):
            yield row(f"  {name}, {side}", of.least, f"{of.median:,g}", of.most)
        yield f"  {name}: {counted(split.sizes, 'size')}"


def class_lines(found: "Survey") -> Iterator[str]:
    """Each class with its images; of many, the largest and the smallest."""
    names, train, test = found.class_names, found.train.class_counts, found.test.class_counts
    if not names:
        yield "no classes"
        return
    order = sorted(range(len(names)), key=lambda i: -train[i])
    yield row("class", "train", "test")
    for i in range(len(names)) if len(names) <= CLASSES else order[:ENDS]:
        yield row(shortened(names[i]), train[i], test[i])
    if len(names) > CLASSES:
        yield f"  ... {len(names) - 2 * ENDS:,} more ..."
        for i in order[-ENDS:]:
            yield row(shortened(names[i]), train[i], test[i])
    if len(names) > 1:
        least, most, median = min(train), max(train), statistics.median(train)
        yield f"  {len(names):,} classes of {least:,} to {most:,} training images, median {median:,g}"


def shortened(name: str) -> str:
    name = printable(name)
    return f"  {name if len(name) <= NAME else name[: NAME - 3] + '...'}"

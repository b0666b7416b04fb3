"""Generate images from a run or an export."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compare_gan.commands.export import LATEST, add_choice
from compare_gan.commands.shared import add_overwrite, add_truncation, check_outputs, declare
from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError

ROWS = COLUMNS = 10  # default size of a picture
ARRAYS = ".npz"


class Selection(NamedTuple):
    """The images to generate."""

    images: int
    rows: int  # of a picture
    classes: list[int] | None  # None: the generator takes no label


def add(commands) -> None:
    parser = declare(
        commands,
        sample,
        "sample",
        "Generate images from a run or from its export; both give the same images.",
        "runs/demo/s3gan --classes 3 7 --per_class 100 --out samples/",
    )
    parser.add_argument("run", help="run folder, or output folder of compare-gan export")
    parser.add_argument(
        "--out",
        required=True,
        help="a folder for one PNG file per image, with a subfolder per class if there are classes; an .npz "
        "file "
        "for images and labels; or a .png, .jpg or .webp file for one picture of all images",
    )
    parser.add_argument(
        "--classes",
        action="extend",
        nargs="+",
        metavar="CLASS",
        help="names or numbers of classes; default: all, the first 10 for a picture",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--per_class", type=int, metavar="N", help="images per class; default: 10")
    amount.add_argument(
        "--count", type=int, metavar="N", help="total number of images, cycling through the classes"
    )
    parser.add_argument(
        "--columns", type=int, help="columns of a picture; with classes equivalent to --per_class"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the latent vectors")
    add_truncation(parser)
    add_choice(parser)
    add_overwrite(parser)


def sample(arguments: argparse.Namespace) -> None:
    from compare_gan.core.sampler import check_truncation
    from compare_gan.export.folder import is_export

    out = validate_options(arguments)
    source = Path(arguments.run)
    sampler = (sampler_from_export if is_export(source) else sampler_from_run)(source, arguments)
    picture = not is_folder(arguments.out) and out.suffix.lower() != ARRAYS
    check_truncation(sampler.prior, arguments.truncation)
    selection = select(arguments, sampler, picture)
    if is_folder(arguments.out):
        write_folder(out, sampler, selection, arguments)
    elif out.suffix.lower() == ARRAYS:
        write_arrays(out, sampler, selection, arguments)
    else:
        write_sheet(out, sampler, selection, arguments)
    print(f"samples: {out}")


def is_folder(text: str) -> bool:
    """Whether `--out` names a folder: one that exists, a name without suffix, or one that ends in a slash."""
    path = Path(text)
    return path.is_dir() or not path.exists() and (text.endswith("/") or not path.suffix)


def validate_options(arguments: argparse.Namespace) -> Path:
    """Validates the options before any image is generated. Returns the output path.

    Raises:
      UserError: a number is too small, or --out has an unknown suffix or cannot be written.
    """
    from compare_gan.core.outputs import check_images_folder
    from compare_gan.core.pictures import FORMATS

    for name in ("per_class", "count", "columns"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    out = Path(arguments.out)
    if not is_folder(arguments.out) and out.suffix.lower() not in (ARRAYS, *FORMATS):
        raise UserError(
            f"{out}: --out must be a folder for single images, or end in {', '.join([ARRAYS, *FORMATS])}"
        )
    if is_folder(arguments.out):
        check_images_folder(out, (), arguments.overwrite)
    else:
        check_outputs(arguments, ["out"], [arguments.run])
    return out


def select(arguments: argparse.Namespace, sampler: Any, picture: bool) -> Selection:
    """Determines the number of images and their classes.

    Raises:
      UserError: the options are incompatible with each other or with the classes.
    """
    names = sampler.class_names
    if not names:
        for option in ("classes", "per_class"):
            if getattr(arguments, option):
                raise UserError(
                    f"{arguments.run}: the GAN is unconditional, so --{option} does not apply; use --count"
                )
        columns = arguments.columns or COLUMNS
        count = arguments.count or columns * ROWS
        return Selection(count, -(-count // min(columns, count)), None)
    if arguments.columns and (arguments.per_class or arguments.count):
        raise UserError("--columns is the number of images per class; leave out --per_class and --count")
    if arguments.classes:
        classes = list(dict.fromkeys(sampler.class_index(word, "--classes") for word in arguments.classes))
    else:
        classes = list(range(len(names)))
        if picture and len(names) > ROWS:
            classes = classes[:ROWS]
            print(f"showing the first {ROWS} of {len(names):,} classes; select others with --classes")
    count = arguments.count or (arguments.per_class or arguments.columns or COLUMNS) * len(classes)
    return Selection(count, min(len(classes), count), classes[:count])


def write_sheet(path: Path, sampler: Any, selection: Selection, arguments: argparse.Namespace) -> None:
    """Writes one picture, with a row per class if there are classes."""
    from compare_gan.core.pictures import check_picture, write_picture
    from compare_gan.core.sampler import row_by_row

    h, w, _ = sampler.image_shape
    columns = -(-selection.images // selection.rows)
    check_picture(path, selection.rows * h, columns * w)
    images, _ = sampler.images(selection.images, arguments.seed, selection.classes, arguments.truncation)
    write_picture(path, row_by_row(images, selection.rows), selection.rows, columns)


def write_arrays(path: Path, sampler: Any, selection: Selection, arguments: argparse.Namespace) -> None:
    import numpy as np

    from compare_gan.core.files import atomic
    from compare_gan.core.outputs import MARK, WRITTEN_BY

    images, labels = sampler.images(selection.images, arguments.seed, selection.classes, arguments.truncation)
    arrays: dict[str, Any] = {"images": images, WRITTEN_BY: np.array(MARK)}
    if labels is not None:
        arrays |= {"labels": labels, "class_names": np.array(sampler.class_names)}
    with atomic(path) as file:
        np.savez(file, **arrays)


def write_folder(folder: Path, sampler: Any, selection: Selection, arguments: argparse.Namespace) -> None:
    """Writes a PNG file per image: 000000.png, ..., in a subfolder per class if there are classes.

    Raises:
      UserError: the folder contains other images, which would be mixed with these.
    """
    from compare_gan.core.files import run_folder
    from compare_gan.core.outputs import check_images_folder
    from compare_gan.core.pictures import encoded
    from compare_gan.core.progress import Progress

    folders = class_folders(sampler.class_names)
    names = [folders[k] for k in selection.classes or []]
    rows = len(names) or 1
    paths = [
        folder / (names[i % rows] if names else "") / f"{i // rows:06}.png" for i in range(selection.images)
    ]
    if others := sorted({*folder.glob("*.png"), *folder.glob("*/*.png")} - set(paths)):
        raise UserError(
            f"{folder}: already contains other images, such as {others[0]}; choose an empty folder"
        )
    check_images_folder(folder, (str(path.relative_to(folder)) for path in paths), arguments.overwrite)
    for name in names:
        run_folder(folder / name)
    progress, i = Progress("sample", selection.images, unit="images", show_after_s=5.0), 0
    batches = sampler.batches(selection.images, arguments.seed, selection.classes, arguments.truncation)
    for images, _ in batches:
        for image in images:
            paths[i].write_bytes(encoded(image, ".png"))
            i += 1
        progress.update(i, {})


def class_folders(names: Sequence[str]) -> list[str]:
    """A folder name per class: the class name, or its index and the name without illegal characters."""
    safe = [re.sub(r"[^\w\- .+()&,']", "_", name).strip(" .")[:100] for name in names]
    if all(safe) and safe == list(names) and len({name.casefold() for name in safe}) == len(safe):
        return safe
    return [f"{i:04} {name}".strip() for i, name in enumerate(safe)]


def sampler_from_export(folder: Path, arguments: argparse.Namespace) -> Any:
    from compare_gan.export.folder import open_sampler

    if (arguments.step, arguments.statistics_examples) != (LATEST, STATISTICS_EXAMPLES):
        raise UserError(
            f"{folder}: an export has a single generator; --step and --statistics_examples apply only to runs"
        )
    return open_sampler(folder)


def sampler_from_run(run_dir: Path, arguments: argparse.Namespace) -> Any:
    from compare_gan.runs import open_run

    run = open_run(run_dir, allow_imports=arguments.allow_imports)
    return run.sampler(arguments.step, statistics_examples=arguments.statistics_examples)

"""Draw images from a run or an export."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compare_gan.commands.export import LATEST, add_choice
from compare_gan.commands.shared import declare
from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError, did_you_mean

ROWS = COLUMNS = 10  # of a picture, by default
ARRAYS = ".npz"


class Wanted(NamedTuple):
    """Which images to draw."""

    images: int
    rows: int  # of a picture
    classes: list[int] | None  # None: the generator takes no label


def add(commands) -> None:
    made = declare(
        commands,
        sample,
        "sample",
        "Draw images from a run, or from an export of one; the same from either.",
        "runs/demo/s3gan --classes 3 7 --per_class 100 --out samples/",
    )
    made.add_argument("run", help="run folder, or folder that compare-gan export made")
    made.add_argument(
        "--out",
        required=True,
        help="a folder for one PNG file per image, in a folder per class if there are classes; a .npz file "
        "for images and labels; or a .png, .jpg or .webp file for one picture of all",
    )
    made.add_argument(
        "--classes",
        action="extend",
        nargs="+",
        metavar="CLASS",
        help="names or numbers of classes; default: all, the first 10 for a picture",
    )
    amount = made.add_mutually_exclusive_group()
    amount.add_argument("--per_class", type=int, metavar="N", help="images of each class; default: 10")
    amount.add_argument("--count", type=int, metavar="N", help="images in all, classes in turn")
    made.add_argument(
        "--columns", type=int, help="columns of a picture; with classes the same as --per_class"
    )
    made.add_argument("--seed", type=int, default=0, help="of the latent vectors")
    made.add_argument(
        "--truncation",
        type=float,
        default=1.0,
        metavar="T",
        help="multiply latent vectors by this: less than 1 gives more typical and less varied images; meant "
        "for normal latent vectors",
    )
    add_choice(made)


def sample(arguments: argparse.Namespace) -> None:
    from compare_gan.export.folder import is_export

    out = checked_out(arguments)
    source = Path(arguments.run)
    sampler = (of_export if is_export(source) else of_run)(source, arguments)
    picture = not is_folder(arguments.out) and out.suffix.lower() != ARRAYS
    wanted = chosen(arguments, sampler.class_names, picture)
    if is_folder(arguments.out):
        write_folder(out, sampler, wanted, arguments)
    elif out.suffix.lower() == ARRAYS:
        write_arrays(out, sampler, wanted, arguments)
    else:
        write_sheet(out, sampler, wanted, arguments)
    print(f"samples: {out}")


def is_folder(text: str) -> bool:
    """Whether `--out` means a folder: one that exists, a name without suffix, or one that ends in a slash."""
    path = Path(text)
    return path.is_dir() or not path.exists() and (text.endswith("/") or not path.suffix)


def checked_out(arguments: argparse.Namespace) -> Path:
    """Where to write. Mistakes are found before anything is drawn.

    Raises:
      UserError: a number is too small, or --out cannot be written.
    """
    from compare_gan.core.pictures import FORMATS

    for name in ("per_class", "count", "columns"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    if not 0 < arguments.truncation < float("inf"):
        raise UserError(f"--truncation is {arguments.truncation}; it must be more than 0")
    out = Path(arguments.out)
    if not is_folder(arguments.out) and out.suffix.lower() not in (ARRAYS, *FORMATS):
        raise UserError(
            f"{out}: --out is a folder for single images, or ends in {', '.join([ARRAYS, *FORMATS])}"
        )
    return out


def chosen(arguments: argparse.Namespace, names: tuple[str, ...], picture: bool) -> Wanted:
    """How many images of which classes.

    Raises:
      UserError: the options do not fit each other or the classes.
    """
    if not names:
        for option in ("classes", "per_class"):
            if getattr(arguments, option):
                raise UserError(f"{arguments.run}: takes no labels, so there is no --{option}; use --count")
        columns = arguments.columns or COLUMNS
        count = arguments.count or columns * ROWS
        return Wanted(count, -(-count // min(columns, count)), None)
    if arguments.columns and (arguments.per_class or arguments.count):
        raise UserError("--columns is the number of images of each class; leave out --per_class and --count")
    if arguments.classes:
        classes = list(dict.fromkeys(class_number(word, names) for word in arguments.classes))
    else:
        classes = list(range(len(names)))
        if picture and len(names) > ROWS:
            classes = classes[:ROWS]
            print(f"shows the first {ROWS} of {len(names):,} classes; --classes chooses others")
    count = arguments.count or (arguments.per_class or arguments.columns or COLUMNS) * len(classes)
    return Wanted(count, min(len(classes), count), classes[:count])


def class_number(word: str, names: tuple[str, ...]) -> int:
    """The index of a class, given by name or, unless the names are numbers themselves, by number."""
    if word in names:
        return names.index(word)
    if word.isdecimal() and int(word) < len(names) and not all(name.isdecimal() for name in names):
        return int(word)
    raise UserError(f"--classes {word}: no such class{did_you_mean(word, names)}")


def write_sheet(path: Path, sampler: Any, wanted: Wanted, arguments: argparse.Namespace) -> None:
    """One picture: a row for each class, or any rows where there are none."""
    from compare_gan.core.pictures import check_picture, write_picture
    from compare_gan.export.sampler import row_by_row

    h, w, _ = sampler.image_shape
    columns = -(-wanted.images // wanted.rows)
    check_picture(path, wanted.rows * h, columns * w)
    images, _ = sampler.images(wanted.images, arguments.seed, wanted.classes, arguments.truncation)
    write_picture(path, row_by_row(images, wanted.rows), wanted.rows, columns)


def write_arrays(path: Path, sampler: Any, wanted: Wanted, arguments: argparse.Namespace) -> None:
    import numpy as np

    from compare_gan.core.files import atomic, run_folder

    run_folder(path.parent)
    images, labels = sampler.images(wanted.images, arguments.seed, wanted.classes, arguments.truncation)
    with atomic(path) as file:
        classes = {} if labels is None else {"labels": labels, "class_names": np.array(sampler.class_names)}
        np.savez(file, images=images, **classes)


def write_folder(folder: Path, sampler: Any, wanted: Wanted, arguments: argparse.Namespace) -> None:
    """A PNG file per image: 000000.png, ..., in a folder per class if there are classes.

    Raises:
      UserError: the folder holds other images, which would be mixed with these.
    """
    from compare_gan.core.files import run_folder
    from compare_gan.core.pictures import encoded
    from compare_gan.core.progress import Progress

    folders = class_folders(sampler.class_names)
    names = [folders[k] for k in wanted.classes or []]
    rows = len(names) or 1
    paths = [
        folder / (names[i % rows] if names else "") / f"{i // rows:06}.png" for i in range(wanted.images)
    ]
    if others := sorted({*folder.glob("*.png"), *folder.glob("*/*.png")} - set(paths)):
        raise UserError(f"{folder}: holds other images already, such as {others[0]}; choose an empty folder")
    for name in [".", *names]:
        run_folder(folder / name)
    progress, i = Progress("sample", wanted.images, unit="images", show_after_s=5.0), 0
    for images, _ in sampler.batches(wanted.images, arguments.seed, wanted.classes, arguments.truncation):
        for image in images:
            paths[i].write_bytes(encoded(image, ".png"))
            i += 1
        progress.update(i, {})


def class_folders(names: Sequence[str]) -> list[str]:
    """A folder for each class: its name, or its number and what is left of a name that cannot be a file's."""
    safe = [re.sub(r"[^\w\- .+()&,']", "_", name).strip(" .")[:100] for name in names]
    if all(safe) and safe == list(names) and len({name.casefold() for name in safe}) == len(safe):
        return safe
    return [f"{i:04} {name}".strip() for i, name in enumerate(safe)]


def of_export(folder: Path, arguments: argparse.Namespace) -> Any:
    from compare_gan.export.folder import open_sampler

    if (arguments.step, arguments.statistics_examples) != (LATEST, STATISTICS_EXAMPLES):
        raise UserError(
            f"{folder}: an export has one generator; --step and --statistics_examples are for runs"
        )
    return open_sampler(folder)


def of_run(run_dir: Path, arguments: argparse.Namespace) -> Any:
    from compare_gan.export.write import sampler_of, with_inference_stats
    from compare_gan.runs import open_run

    run = open_run(run_dir)
    state, _ = with_inference_stats(run.gan, run.restore(arguments.step), arguments.statistics_examples)
    return sampler_of(run.gan, state, run.about["class_names"])

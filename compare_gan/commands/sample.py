"""Draw images from a run or an export."""

import argparse
import io
from pathlib import Path
from typing import Any

from compare_gan.commands.export import EXAMPLES, LATEST, add_choice
from compare_gan.commands.shared import declare, open_run
from compare_gan.core.errors import UserError


def add(commands) -> None:
    made = declare(
        commands,
        sample,
        "sample",
        "Draw images from a run, or from an export of one; the same from either.",
        "runs/demo/s3gan --out samples.png",
    )
    made.add_argument("run", help="run folder, or folder that compare-gan export made")
    made.add_argument("--out", required=True, help="PNG file for a grid, or .npz for images and labels")
    made.add_argument("--columns", type=int, default=10, help="images of each class")
    made.add_argument("--seed", type=int, default=0, help="of the latent vectors")
    add_choice(made)


def sample(arguments: argparse.Namespace) -> None:
    from compare_gan.core.pictures import write_picture
    from compare_gan.export.folder import is_export

    if arguments.columns < 1:
        raise UserError(f"columns is {arguments.columns}; it must be at least 1")
    source, out = Path(arguments.run), Path(arguments.out)
    sampler = (of_export if is_export(source) else of_run)(source, arguments)
    rows = sampler.num_classes or 10
    if out.suffix == ".npz":
        write_arrays(out, *sampler.images(rows * arguments.columns, arguments.seed))
    else:
        write_picture(out, sampler.grid(rows, arguments.columns, arguments.seed), rows, arguments.columns)
    print(f"samples: {out}")


def of_export(folder: Path, arguments: argparse.Namespace) -> Any:
    from compare_gan.export.folder import open_sampler

    if (arguments.step, arguments.statistics_examples) != (LATEST, EXAMPLES):
        raise UserError(
            f"{folder}: an export has one generator; --step and --statistics_examples are for runs"
        )
    return open_sampler(folder)


def of_run(run_dir: Path, arguments: argparse.Namespace) -> Any:
    from compare_gan.export.write import ready, sampler_of

    _, gan, state = open_run(run_dir, arguments.step)
    state, _ = ready(gan, state, arguments.statistics_examples)
    return sampler_of(gan, state)


def write_arrays(path: Path, images: Any, labels: Any) -> None:
    import numpy as np

    from compare_gan.core.files import atomic, run_folder

    buffer = io.BytesIO()
    np.savez(buffer, images=images, **({} if labels is None else {"labels": labels}))
    run_folder(path.parent)
    with atomic(path) as file:
        file.write(buffer.getvalue())

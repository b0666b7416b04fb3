"""Show generated images beside the nearest training images."""

import argparse
from pathlib import Path

from compare_gan.commands.export import add_choice
from compare_gan.commands.shared import add_overwrite, check_outputs, declare
from compare_gan.core.errors import UserError, printable

IMAGES = 16
MAX_IMAGES = 200


def add(commands) -> None:
    parser = declare(
        commands,
        neighbours,
        "neighbours",
        "Draw generated images beside their 7 nearest training images, to see whether they are copies.",
        "runs/demo/s3gan --out neighbours.png",
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument("--out", required=True, help="a .png, .jpg or .webp file")
    parser.add_argument("--images", type=int, default=IMAGES, help="number of generated images")
    parser.add_argument("--seed", type=int, default=0, help="seed of the latent vectors")
    parser.add_argument(
        "--extractor",
        help="features in which images are near: a name or a file, as for compare-gan evaluate",
    )
    parser.add_argument("--data", help="name or path of the training images, if they have moved")
    add_choice(parser)
    add_overwrite(parser)


def neighbours(arguments: argparse.Namespace) -> None:
    from compare_gan.core.pictures import check_picture, write_picture
    from compare_gan.evaluation.neighbour_sheet import draw
    from compare_gan.runs import open_run

    out = Path(arguments.out)
    if not 1 <= arguments.images <= MAX_IMAGES:
        raise UserError(f"--images is {arguments.images}; it must be in 1..{MAX_IMAGES}")
    check_picture(out, 1, 1)
    check_outputs(arguments, ["out"], [arguments.run], [arguments.data] if arguments.data else [])
    run = open_run(arguments.run, allow_imports=arguments.allow_imports)
    number = run.step_number(arguments.step)
    data = run.open_data(arguments.data) if arguments.data else None
    training = run.training_images(arguments.extractor, data)
    images = run.sample(
        arguments.images,
        seed=arguments.seed,
        step=number,
        statistics_examples=arguments.statistics_examples,
    )
    sheet = training.sheet(images)
    picture = draw(sheet)
    check_picture(out, *picture.shape[:2])
    write_picture(out, picture[None], 1, 1)
    print(printable(sheet.caption))
    print(f"step {number} of {arguments.run}: {out}")

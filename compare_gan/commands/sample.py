"""Draw images from a run."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import declare, open_run


def add(commands) -> None:
    made = declare(
        commands, sample, "sample", "Draw a grid of images from a run.", "runs/demo/s3gan --out samples.png"
    )
    made.add_argument("run", help="run folder")
    made.add_argument("--out", required=True, help="PNG file")
    made.add_argument("--columns", type=int, default=10, help="images of each class")
    made.add_argument("--seed", type=int, default=0, help="of the latent vectors")


def sample(arguments: argparse.Namespace) -> None:
    from compare_gan.core.pictures import write_picture
    from compare_gan.evaluation.evaluate import generate_images

    _, gan, state = open_run(Path(arguments.run))
    rows = gan.y_dim or 10
    images, _ = generate_images(gan, state, rows * arguments.columns, arguments.seed)
    by_class = images.reshape(arguments.columns, rows, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape)
    write_picture(Path(arguments.out), by_class, rows, arguments.columns)
    print(f"samples: {arguments.out}")

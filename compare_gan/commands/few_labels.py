"""Labels from few, and GANs trained on them."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import Parser, add_reading, declare
from compare_gan.commands.studies import (
    add_methods,
    add_training,
    carry_out,
    compile_quickly,
    open_study,
    settings_of,
    study_folder,
)


def add(commands) -> None:
    made = declare(
        commands,
        few_labels,
        "few-labels",
        "Infer labels from few, train GANs on them, score them and write a report.",
        "--data my_images/ --model_dir runs/mine",
    )
    made.add_argument(
        "--data", required=True, help="name, or path of a folder, archive, parquet or NumPy file"
    )
    made.add_argument("--model_dir", required=True, help="where everything is written")
    add_reading(made)
    add_methods(made, ["s3gan"])
    add_labels(made)
    add_training(made)


def add_labels(made: Parser) -> None:
    made.add_argument("--label_fraction", type=float, default=0.1, help="labels that are kept, in (0, 1]")
    made.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")


def few_labels(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        compile_quickly()
    settings = settings_of(arguments, [arguments.label_fraction], [arguments.seed])
    open_study(settings, Path(), flat=True)  # what does not fit is told before anything is written
    folder = study_folder(Path(arguments.model_dir), settings, varying=("methods",))
    return carry_out("few-labels", open_study(settings, folder, flat=True))

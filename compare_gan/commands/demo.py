"""The full few-labels pipeline on embedded data."""

import argparse
from pathlib import Path

from compare_gan.commands.few_labels import add_labels, request_of
from compare_gan.commands.shared import declare
from compare_gan.commands.studies import add_inference, add_training, carry_out, reduce_compile_time


def add(commands) -> None:
    parser = declare(
        commands,
        demo,
        "demo",
        "Run the full few-labels pipeline on scikit-learn's digits, with a report.",
        "--quick",
    )
    parser.add_argument("--model_dir", default="runs/demo", help="output folder")
    add_labels(parser)
    add_inference(parser)
    add_training(parser)


def demo(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        reduce_compile_time()
    request = request_of(arguments, data="digits", methods=("all_labels", "s3gan", "no_labels"))
    return carry_out(request, Path(arguments.model_dir), flat=True)

"""The whole few-labels job on embedded data."""

import argparse

from compare_gan.commands.few_labels import METHOD_LABELS, add_study, few_labels
from compare_gan.commands.shared import declare


def add(commands) -> None:
    made = declare(
        commands, demo, "demo", "The whole few-labels job on scikit-learn's digits, with a report.", "--quick"
    )
    made.add_argument("--model_dir", default="runs/demo", help="where everything is written")
    add_study(made)


def demo(arguments: argparse.Namespace) -> None:
    arguments.data, arguments.methods, arguments.extractor = "digits", list(METHOD_LABELS), "digits"
    arguments.gin_bindings = []
    arguments.image_size = arguments.resize = arguments.tfds_data_dir = None
    arguments.broken = "fail"
    few_labels(arguments)

"""The whole few-labels job on embedded data."""

import argparse

from compare_gan.commands.few_labels import add_labels, few_labels
from compare_gan.commands.shared import declare
from compare_gan.commands.studies import add_inference, add_training


def add(commands) -> None:
    made = declare(
        commands, demo, "demo", "The whole few-labels job on scikit-learn's digits, with a report.", "--quick"
    )
    made.add_argument("--model_dir", default="runs/demo", help="where everything is written")
    add_labels(made)
    add_inference(made)
    add_training(made)


def demo(arguments: argparse.Namespace) -> int:
    arguments.data, arguments.methods = ["digits"], ["all_labels", "s3gan", "no_labels"]
    arguments.labels = None
    arguments.image_size = arguments.resize = arguments.tfds_data_dir = None
    arguments.image_column = arguments.label_column = arguments.holdout = arguments.test_data = None
    arguments.broken = "fail"
    arguments.label_file = arguments.verify_no_leak = None
    return few_labels(arguments)

"""Have a data set prepared by TensorFlow Datasets."""

import argparse
import logging

from compare_gan.commands.shared import declare


def add(commands) -> None:
    parser = declare(
        commands,
        prepare,
        "prepare",
        "Download a data set and have TensorFlow Datasets prepare it; --data and dataset.name then find it.",
        "cifar10",
    )
    parser.add_argument("name", help="cifar10, celeb_a, imagenet_128, ..., or tfds:NAME or tfds:NAME/CONFIG")
    parser.add_argument("--tfds_data_dir", help="where to; default: $TFDS_DATA_DIR or ~/tensorflow_datasets")


def prepare(arguments: argparse.Namespace) -> None:
    from compare_gan.data import prepared

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of each of many attempts to connect
    print(f"prepared: {prepared.prepare(arguments.name, arguments.tfds_data_dir)}")

"""Download and prepare a data set with TensorFlow Datasets."""

import argparse
import logging

from compare_gan.commands.shared import declare


def add(commands) -> None:
    parser = declare(
        commands,
        prepare,
        "prepare",
        "Download and prepare a data set with TensorFlow Datasets, for use with --data and dataset.name.",
        "cifar10",
    )
    parser.add_argument("name", help="cifar10, celeb_a, imagenet_128, ..., or tfds:NAME or tfds:NAME/CONFIG")
    parser.add_argument(
        "--tfds_data_dir", help="output folder; default: $TFDS_DATA_DIR or ~/tensorflow_datasets"
    )


def prepare(arguments: argparse.Namespace) -> None:
    from compare_gan.data import prepared

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs every connection attempt
    print(f"prepared: {prepared.prepare(arguments.name, arguments.tfds_data_dir)}")

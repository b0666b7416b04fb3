"""Train a classifier to use as feature extractor."""

import argparse
from pathlib import Path

from compare_gan import __version__
from compare_gan.commands.shared import (
    add_labels_file,
    add_overwrite,
    add_reading,
    add_sources,
    check_outputs,
    declare,
    one_or_several,
    reading,
)
from compare_gan.core.errors import UserError, did_you_mean


def add(commands) -> None:
    parser = declare(
        commands,
        classifier,
        "classifier",
        "Train a classifier on all available labels, to use as feature extractor for scores.",
        "--data digits --out digits.npz",
    )
    add_sources(parser)
    parser.add_argument("--out", required=True, help=".npz file to write")
    add_overwrite(parser)
    add_labels_file(parser)
    add_reading(parser)
    parser.add_argument(
        "--encoder", default="small", help="architecture: small, halved, halved_deep, wide28 or resnet50"
    )
    parser.add_argument("--width", type=int, default=32, help="channels of the first layer")
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        default="float32",
        help="of the convolutions in training; bfloat16 is faster on GPUs and processors with AMX",
    )
    parser.add_argument("--steps", type=int, default=800, help="number of updates")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and of the data order")


def classifier(arguments: argparse.Namespace) -> None:
    import numpy as np

    from compare_gan.data import open_dataset
    from compare_gan.data.base import UNLABELLED, hard_labels
    from compare_gan.data.labels import labelled_only
    from compare_gan.features.resnet import BODIES
    from compare_gan.training.encoder import train_classifier

    for name in ("width", "steps"):
        if (value := getattr(arguments, name)) < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    if arguments.encoder not in BODIES:
        raise UserError(
            f"no encoder is called {arguments.encoder!r}{did_you_mean(arguments.encoder, BODIES)}"
        )
    out = Path(arguments.out)
    if out.suffix.lower() != ".npz":
        raise UserError(f"{out}: --out must end in .npz")
    check_outputs(arguments, ["out"], [arguments.labels, arguments.test_data], arguments.data)
    full = open_dataset(one_or_several(arguments.data), reading=reading(arguments, labels=arguments.labels))
    dataset = labelled_only(full)
    if len(dataset.train) < len(full.train):
        print(
            f"trains on the {len(dataset.train):,} of {len(full.train):,} training images that have a label"
        )
    folder = out.with_suffix(".run")
    encoder = train_classifier(
        dataset,
        arguments.width,
        arguments.steps,
        arguments.seed,
        folder,
        arguments.encoder,
        arguments.precision,
    )
    known = hard_labels(dataset.test)
    test = np.flatnonzero(known != UNLABELLED)
    accuracy = None
    if len(test):
        predicted = encoder(dataset.test.images).classes.argmax(1)
        accuracy = float(np.mean(predicted[test] == known[test]))
    labels = "" if arguments.labels is None else f" --labels {arguments.labels}"
    provenance = {
        "command": f"compare-gan classifier --data {' '.join(arguments.data)}{labels} "
        f"--encoder {arguments.encoder} --width {arguments.width} --steps {arguments.steps} "
        f"--precision {arguments.precision} "
        f"--seed {arguments.seed}",
        "compare_gan": __version__,
        "train_images": len(dataset.train),
        "test_images": len(test),
        "test_accuracy": None if accuracy is None else round(accuracy, 4),
    }
    encoder.save(out, provenance)
    result = (
        f"{accuracy:.2%} accuracy on {len(test):,} held-out images"
        if accuracy is not None
        else "no labelled held-out images"
    )
    print(f"classifier: {out}, {result}")

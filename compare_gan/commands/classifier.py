"""Train a classifier to measure with."""

import argparse
from pathlib import Path

from compare_gan import __version__
from compare_gan.commands.shared import add_reading, declare, open_data, reading


def add(commands) -> None:
    made = declare(
        commands,
        classifier,
        "classifier",
        "Train a classifier on all labels, to measure scores with.",
        "--data digits --out digits.npz",
    )
    made.add_argument(
        "--data", required=True, help="name, or path of a folder, archive, parquet or NumPy file"
    )
    made.add_argument("--out", required=True, help="file to write")
    add_reading(made)
    made.add_argument("--width", type=int, default=32, help="channels of the first layer")
    made.add_argument("--steps", type=int, default=800, help="updates")
    made.add_argument("--seed", type=int, default=0, help="of weights and order")


def classifier(arguments: argparse.Namespace) -> None:
    import numpy as np

    from compare_gan.train.encoder import train_classifier

    dataset = open_data(arguments.data, reading(arguments))
    out = Path(arguments.out)
    folder = out.with_suffix(".run")
    encoder = train_classifier(dataset, arguments.width, arguments.steps, arguments.seed, folder)
    right = np.mean(encoder(dataset.test.images).classes.argmax(1) == dataset.test.labels)
    provenance = {
        "command": f"compare-gan classifier --data {arguments.data} --width {arguments.width} "
        f"--steps {arguments.steps} --seed {arguments.seed}",
        "compare_gan": __version__,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "test_accuracy": round(float(right), 4),
    }
    encoder.save(out, provenance)
    print(f"classifier: {out}, {right:.2%} of {len(dataset.test)} held-out images right")

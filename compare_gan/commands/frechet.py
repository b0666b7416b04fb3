"""The Frechet distance of two sets of images, as one number."""

import argparse
import contextlib
import sys
from pathlib import Path

from compare_gan.commands.shared import add_overwrite, add_reading, check_outputs, declare, reading
from compare_gan.core.errors import printable

METRIC = "frechet_distance"


def add(commands) -> None:
    parser = declare(
        commands,
        frechet,
        "frechet",
        "Print the Frechet distance of two sets of images or features: FID with --extractor inception.",
        "samples/ photos/ --extractor inception",
    )
    parser.add_argument(
        "generated",
        help="folder, archive or file of images, name of a data set (its training images), or .npy or .npz "
        "file of features or of their mu and sigma",
    )
    parser.add_argument("reference", help="likewise; of a data set with a test split, the test images")
    parser.add_argument(
        "--extractor",
        help="inception (downloaded once), inception_spatial for sFID, or another of compare-gan evaluate; "
        "default: the packaged classifier of the reference data set, else inception if its weights are on "
        "this machine",
    )
    parser.add_argument(
        "--reference_split",
        choices=("train", "test", "all"),
        help="which images of the reference; default: test, or all if it has no test split of its own",
    )
    parser.add_argument("--json", help="JSON file to write the distance and how it was measured to")
    add_overwrite(parser)
    add_reading(parser)


def frechet(arguments: argparse.Namespace) -> None:
    generated, reference = arguments.generated, arguments.reference
    check_outputs(arguments, ["json"], [arguments.extractor, arguments.test_data], [generated, reference])
    from compare_gan.core.files import write_json
    from compare_gan.scoring import score_images

    with contextlib.redirect_stdout(sys.stderr):  # progress; the output is the number alone
        row = score_images(
            generated,
            reference,
            [METRIC],
            extractor=arguments.extractor,
            reference_split=arguments.reference_split,
            load_options=reading(arguments),
        )
    print(printable(f"{row['compared']}, {row.get('extractor', 'features')}"), file=sys.stderr)
    print(row[METRIC])
    if arguments.json:
        write_json(Path(arguments.json), row)

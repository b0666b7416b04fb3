"""Import a model or checkpoint of the original compare_gan."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import declare


def add(commands) -> None:
    parser = declare(
        commands,
        import_tf,
        "import",
        "Import a TF-Hub module or checkpoint of the original compare_gan (TensorFlow 1) as a run.",
        "model_dir --out runs/imported",
    )
    parser.add_argument(
        "source",
        help="module folder, .tar.gz or .tar.xz of one, prefix of a checkpoint, model_dir, or name of a "
        "published module, such as google/compare_gan/s3gan_10_128x128",
    )
    parser.add_argument("--out", required=True, help="run folder")
    parser.add_argument("--archive", help="the downloaded file of a published module")
    parser.add_argument("--step", type=int, help="checkpoint in a model_dir; default: the newest")
    parser.add_argument(
        "--gin_config",
        action="extend",
        nargs="+",
        default=[],
        metavar="FILE",
        help="training configuration; default: operative_config-*.gin beside the checkpoint, or for a module "
        "one inferred from its variables and graph",
    )
    parser.add_argument(
        "--prior",
        choices=("normal", "uniform"),
        help="distribution of z, for a module without a configuration",
    )
    parser.add_argument(
        "--image_size", type=int, help="side length of the images, if the configuration does not determine it"
    )


def import_tf(arguments: argparse.Namespace) -> None:
    from compare_gan.tf1.convert import import_tf

    run = import_tf(
        arguments.source,
        Path(arguments.out),
        step=arguments.step,
        gin_config=arguments.gin_config,
        prior=arguments.prior,
        archive=arguments.archive,
        image_size=arguments.image_size,
    )
    print(f"step {run.step_number()} of {arguments.source}: {run.run_dir}")

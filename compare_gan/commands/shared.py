"""What commands share: how one is declared, and arguments that name data."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line. Options are not abbreviated: `--label` must not mean another option."""

    def __init__(self, **settings: Any):
        super().__init__(**({"allow_abbrev": False} | settings))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"compare-gan: {message}; see {self.prog} --help\n")


def declare(
    commands: Any, run: Callable[[argparse.Namespace], int | None], name: str, text: str, example: str
) -> Parser:
    """A new command, for arguments to be added to."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: compare-gan {name} {example}".rstrip(),
        formatter_class=Help,
    )
    parser.set_defaults(command=run)
    return parser


def add_reading(parser: Parser) -> None:
    """Arguments that say how a data set is read; `reading` takes them."""
    parser.add_argument("--image_size", type=int, help="crop and resize images to this side")
    parser.add_argument(
        "--resize",
        help="lanczos, bicubic, box or bilinear_tf1; default: lanczos, or what compare_gan does for the data",
    )
    parser.add_argument("--image_column", help="column of parquet files that holds the images")
    parser.add_argument(
        "--label_column", help="column of parquet files that holds the labels; none: no labels"
    )
    parser.add_argument(
        "--holdout",
        type=float,
        help="share of the images to hold out for scores where the data has no test split; default: 0.2",
    )
    parser.add_argument("--test_data", help="data set whose images are held out for scores")
    parser.add_argument(
        "--broken",
        choices=("fail", "skip"),
        default="fail",
        help="what to do about image files that cannot be read",
    )
    parser.add_argument(
        "--tfds_data_dir",
        help="where TensorFlow Datasets prepared data; default: $TFDS_DATA_DIR or ~/tensorflow_datasets",
    )


def add_hosts(parser: Parser) -> None:
    """Arguments that say which processes work together; `join` takes them."""
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes with devices of their own; the environment (SLURM, Open MPI, "
        "Kubernetes, Cloud TPU) or the next three tell which",
    )
    parser.add_argument("--coordinator", help="HOST:PORT of the first process")
    parser.add_argument("--processes", type=int, help="how many there are")
    parser.add_argument("--process", type=int, help="which one this is, from 0")


def join(arguments: argparse.Namespace) -> None:
    """Joins the other processes, if there are any; before anything asks for devices.

    Raises:
      UserError: the arguments do not fit, or the others are not to be had.
    """
    names = ("coordinator", "processes", "process")
    given = {name: getattr(arguments, name) for name in names}
    if arguments.distributed:
        from compare_gan.core.processes import connect

        connect(**given)
    elif misplaced := [name for name in names if given[name] is not None]:
        raise UserError(f"--{misplaced[0]} needs --distributed")


def reading(arguments: argparse.Namespace, **more: Any) -> Any:
    from compare_gan.data import LoadOptions

    return LoadOptions(
        arguments.image_size,
        arguments.resize,
        arguments.broken,
        arguments.tfds_data_dir,
        holdout=arguments.holdout,
        test_data=arguments.test_data,
        image_column=arguments.image_column,
        label_column=arguments.label_column,
        **more,
    )


def add_sources(parser: Parser) -> None:
    """The argument `data`, which must be given; `one_or_several` takes it."""
    parser.add_argument(
        "--data",
        required=True,
        action="extend",
        nargs="+",
        help="name, or path of a folder, archive, parquet or NumPy file; several join, labelled or not",
    )


def add_labels_file(parser: Parser) -> None:
    """The argument `labels`, to be passed on to `reading`."""
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="label file (.csv, .npz, ...) with the labels of some or all images, in place of the data's own",
    )


def add_statistics_examples(parser: Parser) -> None:
    """The argument `statistics_examples`."""
    parser.add_argument(
        "--statistics_examples",
        type=int,
        default=STATISTICS_EXAMPLES,
        help="images from which accumulated batch statistics are taken",
    )


def check_writable(option: str, path: str | None) -> None:
    """Refuses a file that cannot be written, before the work whose result it is to hold.

    Raises:
      UserError: it is a folder, or its folder is not there or cannot be written to.
    """
    if path is None:
        return
    if Path(path).is_dir():
        raise UserError(f"{path}: is a folder; --{option} names a file")
    if not os.access(Path(path).absolute().parent, os.W_OK):
        raise UserError(f"{path}: cannot write there; choose another --{option}")


def one_or_several(sources: list[str]) -> str | list[str]:
    """What the words of `--data` name."""
    return sources[0] if len(sources) == 1 else sources

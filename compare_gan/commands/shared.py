"""Shared by the commands: the parser class and arguments that several commands have."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, except for None, False and empty lists."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Reports an error in one line. Abbreviations are disabled: `--label` must not select another option."""

    def __init__(self, **settings: Any):
        super().__init__(**({"allow_abbrev": False} | settings))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"compare-gan: {message}; see {self.prog} --help\n")


def declare(
    commands: Any, run: Callable[[argparse.Namespace], int | None], name: str, text: str, example: str
) -> Parser:
    """Adds a command and returns its parser."""
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
    """Adds the arguments for loading a data set, which `reading` reads."""
    parser.add_argument("--image_size", type=int, help="crop and resize images to this side length")
    parser.add_argument(
        "--resize",
        help="lanczos, bicubic, box or bilinear_tf1; default: lanczos, or compare_gan's choice for the data "
        "set",
    )
    parser.add_argument("--image_column", help="image column of parquet files")
    parser.add_argument("--label_column", help="label column of parquet files; none: no labels")
    parser.add_argument(
        "--holdout",
        type=float,
        help="fraction of the images to hold out for evaluation if the data has no test split; default: 0.2",
    )
    parser.add_argument("--test_data", help="data set to use as test split")
    parser.add_argument(
        "--broken",
        choices=("fail", "skip"),
        default="fail",
        help="what to do with image files that cannot be read",
    )
    parser.add_argument(
        "--tfds_data_dir",
        help="data folder of TensorFlow Datasets; default: $TFDS_DATA_DIR or ~/tensorflow_datasets",
    )


def add_hosts(parser: Parser) -> None:
    """Adds the arguments for multi-process runs, which `join` reads."""
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="run as one of several processes, each with its own devices; configured by the environment "
        "(SLURM, "
        "Open MPI, Kubernetes, Cloud TPU) or by the next three options",
    )
    parser.add_argument("--coordinator", help="HOST:PORT of process 0")
    parser.add_argument("--processes", type=int, help="number of processes")
    parser.add_argument("--process", type=int, help="index of this process, from 0")


def join(arguments: argparse.Namespace) -> None:
    """Connects to the other processes, if any. Must run before devices are used.

    Raises:
      UserError: the arguments are inconsistent, or the other processes are unreachable.
    """
    names = ("coordinator", "processes", "process")
    options = {name: getattr(arguments, name) for name in names}
    if arguments.distributed:
        from compare_gan.core.processes import connect

        connect(**options)
    elif misplaced := [name for name in names if options[name] is not None]:
        raise UserError(f"--{misplaced[0]} needs --distributed")


def reading(arguments: argparse.Namespace, **more: Any) -> Any:
    """The `LoadOptions` of the arguments that `add_reading` adds; `more` sets further fields."""
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
    """Adds the required argument `data`, which `one_or_several` reads."""
    parser.add_argument(
        "--data",
        required=True,
        action="extend",
        nargs="+",
        help="name, or path of a folder, archive, parquet or NumPy file; several are concatenated",
    )


def add_labels_file(parser: Parser) -> None:
    """Adds the argument `labels`, to pass on to `reading`."""
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="label file (.csv, .npz, ...) with labels of some or all images, replacing those of the data",
    )


def add_statistics_examples(parser: Parser) -> None:
    """Adds the argument `statistics_examples`."""
    parser.add_argument(
        "--statistics_examples",
        type=int,
        default=STATISTICS_EXAMPLES,
        help="number of generated images for accumulated batch statistics",
    )


def add_truncation(parser: Parser) -> None:
    """Adds the argument `truncation`."""
    parser.add_argument(
        "--truncation",
        type=float,
        metavar="T",
        help="redraw latent values beyond T standard deviations, so that images are more typical and less "
        "diverse; for Gaussian latent vectors only",
    )


def add_allow_imports(parser: Parser) -> None:
    """Adds the argument `allow_imports`."""
    parser.add_argument(
        "--allow_imports",
        action="extend",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="Python modules that the configuration of the run may import, besides those of this library; "
        "importing executes their code",
    )


def add_overwrite(parser: Parser) -> None:
    """Adds the argument `overwrite`, which `check_outputs` reads."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace existing output files even if compare_gan did not write them",
    )


def check_outputs(
    arguments: argparse.Namespace,
    options: Sequence[str],
    inputs: Iterable[str | Path | None],
    data: Sequence[str] = (),
) -> None:
    """Checks that the output files can be written, before any long work.

    Args:
      arguments: with `overwrite`.
      options: names of the arguments that are output files; None: not given.
      inputs: files and folders that the command reads; None: not given.
      data: data sets that the command reads; nothing is written inside their folders.

    Raises:
      UserError: an output file cannot be written, or would replace or become part of something.
    """
    from compare_gan.core.outputs import check_output

    paths = {f"--{option}": Path(path) for option in options if (path := getattr(arguments, option))}
    for option, path in paths.items():
        if others := [name for name, other in paths.items() if name != option and other == path]:
            raise UserError(f"{path}: is given for both {option} and {others[0]}; choose two files")
        read = [Path(each) for each in (*inputs, *data) if each is not None]
        check_output(path, option, read, arguments.overwrite)
        if data and path.suffix.lower() != ".json":  # JSON does not become part of a data set
            from compare_gan.data.source import refuse_inside

            refuse_inside(path, data)


def one_or_several(sources: list[str]) -> str | list[str]:
    """The argument of `open_dataset` for the values of `--data`."""
    return sources[0] if len(sources) == 1 else sources

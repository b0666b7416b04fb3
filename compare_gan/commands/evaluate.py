"""Score a run, a folder of images, or a file of features."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare_gan.commands.shared import (
    Parser,
    add_allow_imports,
    add_hosts,
    add_overwrite,
    add_reading,
    add_statistics_examples,
    add_truncation,
    check_outputs,
    declare,
    join,
    reading,
)
from compare_gan.core.defaults import DEFAULT_METRICS, EVAL_RUNS, EVAL_SEED, IMAGE_METRICS, MIN_EVAL_IMAGES
from compare_gan.core.errors import UserError, printable
from compare_gan.core.run_files import SCORES

if TYPE_CHECKING:
    from compare_gan.data import ImageDataset, LoadOptions
    from compare_gan.evaluation.options import EvalOptions
    from compare_gan.evaluation.steps import Evaluation
    from compare_gan.trained_run import Run

FAILED = 1  # exit code: a metric failed, the others have scores


def add(commands) -> None:
    parser = declare(
        commands,
        evaluate,
        "evaluate",
        "Score a run, a folder of images (--images_from), or a file of features (--features).",
        "runs/demo/s3gan --steps all",
    )
    parser.add_argument("run", nargs="?", help="run folder")
    parser.add_argument("--steps", default="latest", help="latest, all, best, or numbers such as 1000,2000")
    parser.add_argument("--every", type=int, default=1, help="with --steps all: only multiples of this")
    parser.add_argument(
        "--continuous", action="store_true", help="score checkpoints while they are being written"
    )
    parser.add_argument("--data", help="name or path; default: the training data of the run")
    parser.add_argument("--images_from", help="score the images of this folder or file, not a run")
    parser.add_argument("--reference", help="with --images_from: reference data set")
    parser.add_argument(
        "--reference_split",
        choices=("train", "test", "all"),
        help="which images of --reference; default: test, or all if it has no test split of its own",
    )
    parser.add_argument("--features", help="score the features of this .npy or .npz file, not a run")
    parser.add_argument(
        "--reference_features",
        help="with --features or --images_from: reference file with features, or with mu and sigma",
    )
    parser.add_argument(
        "--truncations",
        type=float,
        nargs="+",
        metavar="T",
        help="score the step at each of these values of --truncation and without it; the curve is written to "
        "truncation.json and truncation.svg in the run folder",
    )
    parser.add_argument("--json", help="JSON file to write the scores to")
    add_overwrite(parser)
    add_allow_imports(parser)
    add_hosts(parser)
    add_settings(parser)
    add_reading(parser)


def add_settings(parser: Parser) -> None:
    """Adds the arguments of the evaluation protocol, which `eval_options` reads."""
    parser.add_argument(
        "--extractor",
        help="digits, fashion; for photographs inception, inception_clean, dinov2_vitb14, dinov2_vitl14, "
        "clip_vitl14_336, resnet50_swav (each downloaded once), or efficientnet_lite0 (from a package); or a "
        "file: a classifier of compare-gan classifier, weights of one of these networks, or an .onnx model; "
        "default: the packaged classifier of the data set, else inception if its weights are on this machine",
    )
    parser.add_argument(
        "--metrics",
        action="extend",
        nargs="+",
        help=f"names of metrics; default: {' and '.join(DEFAULT_METRICS)}",
    )
    parser.add_argument(
        "--images",
        type=int,
        help=f"images per generated set; default: number of real images, at least {MIN_EVAL_IMAGES}",
    )
    parser.add_argument(
        "--num_eval_averaging_runs", type=int, default=EVAL_RUNS, help="number of generated sets"
    )
    parser.add_argument(
        "--eval_seed",
        type=int,
        default=EVAL_SEED,
        help="seed of the first generated set, which are the images of compare-gan sample --seed; the next "
        "sets have the next seeds",
    )
    add_truncation(parser)
    add_statistics_examples(parser)
    parser.add_argument(
        "--score_filename", default=SCORES, help="name of the CSV file with scores in the run folder"
    )


@dataclasses.dataclass(frozen=True)
class EvalRequest:
    """The checkpoints of a run to score."""

    run_dir: Path
    options: "EvalOptions"
    reading: "LoadOptions"  # non-default fields override those of the run
    data: str | None = None  # None: the training data of the run
    steps: str = "latest"  # latest, all, best, or comma-separated numbers
    every: int = 1  # with steps="all": only multiples of this
    continuous: bool = False  # score checkpoints while they are being written
    truncations: Sequence[float] = ()  # of a curve
    allow_imports: Sequence[str] | None = ()  # modules that the run's configuration may import; None: any


def eval_options(arguments: argparse.Namespace) -> "EvalOptions":
    """The options that `add_settings` declares.

    Raises:
      UserError: a metric is unknown, or the file of scores is not a file name.
    """
    from compare_gan.evaluation.evaluate import metric_names
    from compare_gan.evaluation.options import EvalOptions
    from compare_gan.evaluation.scores import validate_score_filename

    return EvalOptions(
        extractor=arguments.extractor,
        metrics=None if arguments.metrics is None else metric_names(arguments.metrics),
        images=arguments.images,
        runs=arguments.num_eval_averaging_runs,
        seed=arguments.eval_seed,
        statistics_examples=arguments.statistics_examples,
        truncation=arguments.truncation,
        score_filename=validate_score_filename(arguments.score_filename),
    )


def evaluate(arguments: argparse.Namespace) -> int:
    sources = [name for name in ("run", "images_from", "features") if getattr(arguments, name)]
    if len(sources) != 1:
        raise UserError("give exactly one of: a run folder, --images_from, --features")
    data = [each for each in (arguments.images_from, arguments.reference, arguments.data) if each]
    names = ("run", "features", "reference_features", "extractor", "test_data")
    check_outputs(arguments, ["json"], [getattr(arguments, name) for name in names], data)
    options = eval_options(arguments)  # validates the names before any data is read
    if arguments.continuous and arguments.distributed:
        raise UserError("--continuous runs in one process; leave out --distributed")
    join(arguments)
    from compare_gan.core.files import write_json
    from compare_gan.core.processes import is_main_process

    if arguments.run:
        scores = evaluate_run(run_request(arguments, options))
    else:
        scores = evaluate_images(arguments, options)
    if arguments.json and is_main_process():
        write_json(Path(arguments.json), scores.rows)
        print(f"scores: {arguments.json}")
    return FAILED if scores.failed else 0


def run_request(arguments: argparse.Namespace, options: "EvalOptions") -> EvalRequest:
    """The request to score a run.

    Raises:
      UserError: an option does not apply to runs.
    """
    if misplaced := [
        name for name in ("reference", "reference_split", "reference_features") if getattr(arguments, name)
    ]:
        raise UserError(
            f"--{misplaced[0]} requires --images_from; a run is compared with its own data, or with --data"
        )
    if arguments.truncations and (arguments.truncation is not None or arguments.continuous):
        raise UserError(
            "--truncations scores one step at several thresholds; leave out "
            + ("--continuous" if arguments.continuous else "--truncation")
        )
    return EvalRequest(
        Path(arguments.run),
        options,
        reading(arguments),
        data=arguments.data,
        steps=arguments.steps,
        every=arguments.every,
        continuous=arguments.continuous,
        truncations=arguments.truncations or (),
        allow_imports=arguments.allow_imports,
    )


@dataclasses.dataclass(frozen=True)
class Scores:
    """The result of a command."""

    rows: Any  # a row, or the rows of a run
    failed: bool  # whether a requested metric failed


def print_row(row: dict[str, Any], metrics: Sequence[str]) -> bool:
    """Prints a row. Returns whether each of the metrics was scored."""
    for name, value in row.items():
        if name != "scored":
            print(printable(f"{name}: {value}"))
    return {*metrics} <= {*row["scored"].split()}


def evaluate_run(request: EvalRequest) -> Scores:
    """Scores checkpoints of a run; prints each row and adds it to the run's file of scores.

    Raises:
      UserError: the folder is not a run, a checkpoint is missing, or the data, the extractor or a metric is
        incompatible.
    """
    from compare_gan.evaluation.scores import read_scores
    from compare_gan.evaluation.steps import poll_steps, select_steps
    from compare_gan.runs import open_run

    run_dir = request.run_dir
    run = open_run(run_dir, allow_imports=request.allow_imports)
    steps: Any = None if request.continuous else select_steps(run_dir, request.steps, request.every)
    data = run.open_data(request.data, request.reading)
    if request.truncations:
        return truncation_curve(request, run, data, steps)
    evaluation = run.evaluation(request.options, data)
    complete = True
    for row in evaluation.score(poll_steps(run_dir, request.every) if steps is None else steps):
        complete &= print_row(row, evaluation.settings.metrics)
    return Scores(read_scores(run_dir, request.options.score_filename), not complete)


def truncation_curve(request: EvalRequest, run: "Run", data: "ImageDataset", steps: Sequence[int]) -> Scores:
    """Scores a step over the truncation; prints each row, and writes the curve to the run folder.

    Raises:
      UserError: there are several steps, or the latent vectors cannot be truncated.
    """
    from compare_gan.core.files import atomic
    from compare_gan.core.processes import is_main_process
    from compare_gan.core.run_files import TRUNCATION_FIGURE
    from compare_gan.evaluation.truncation import truncation_rows, write_points
    from compare_gan.report.truncation import figure

    if len(steps) != 1:
        raise UserError(f"--truncations is for one step; --steps {request.steps} gives {len(steps)}")
    rows, complete, metrics = [], True, request.options.metrics or DEFAULT_METRICS

    def evaluation(options: "EvalOptions") -> "Evaluation":
        return run.evaluation(options, data)

    for row in truncation_rows(evaluation, request.options, request.truncations, steps[0]):
        complete &= print_row(row, metrics)
        rows.append(row)
    if is_main_process():
        curve = write_points(request.run_dir, rows, metrics)
        if picture := figure(curve):
            with atomic(request.run_dir / TRUNCATION_FIGURE) as file:
                file.write(picture.encode())
            print(f"truncation curve: {request.run_dir / TRUNCATION_FIGURE}")
    return Scores(rows, not complete)


def evaluate_images(arguments: argparse.Namespace, options: "EvalOptions") -> Scores:
    from compare_gan.evaluation.sources import read_features
    from compare_gan.scoring import score_images

    if options.truncation is not None or arguments.truncations:
        raise UserError("--truncation is for images that a run generates; leave it out")
    generated, reference = arguments.images_from or arguments.features, arguments.reference_features
    if arguments.features:
        if not reference:
            raise UserError("--features needs --reference_features, the reference file")
        read_features(Path(generated))  # fails if it holds anything else
    elif bool(arguments.reference) == bool(reference):
        raise UserError(
            "--images_from needs exactly one of --reference (a data set) and --reference_features"
        )
    if reference:
        read_features(Path(reference))
    names = options.metrics or IMAGE_METRICS
    row = score_images(
        generated,
        reference or arguments.reference,
        names,
        extractor=options.extractor,
        seed=options.seed,
        reference_split=arguments.reference_split,
        load_options=reading(arguments),
    )
    return Scores(row, not print_row(row, names))

"""Score a run, a folder of images, or a file of features."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare_gan.commands.shared import (
    Parser,
    add_hosts,
    add_reading,
    add_statistics_examples,
    check_writable,
    declare,
    join,
    reading,
)
from compare_gan.core.errors import UserError

if TYPE_CHECKING:
    from compare_gan.data import LoadOptions

IMAGE_METRICS = ("frechet_distance",)  # by default, where no run is scored
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
    parser.add_argument("--json", help="JSON file to write the scores to")
    add_hosts(parser)
    add_settings(parser)
    add_reading(parser)


def add_settings(parser: Parser) -> None:
    """Adds the arguments of the evaluation protocol, which `eval_options` reads."""
    parser.add_argument(
        "--extractor",
        default="digits",
        help="digits, inception, inception_clean, or a file: a classifier of compare-gan classifier, "
        "Inception "
        "weights, or an .onnx model",
    )
    parser.add_argument(
        "--metrics",
        action="extend",
        nargs="+",
        help="names of metrics; default: frechet_distance and class_agreement",
    )
    parser.add_argument(
        "--images", type=int, help="images per generated set; default: number of real images, at least 5000"
    )
    parser.add_argument("--num_eval_averaging_runs", type=int, default=3, help="number of generated sets")
    parser.add_argument("--eval_seed", type=int, default=42, help="seed of the generated images")
    add_statistics_examples(parser)


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """The evaluation protocol; see `add_settings`."""

    extractor: str
    metrics: tuple[str, ...] | None  # None: the defaults that apply
    images: int | None  # None: the number of real images, at least 5000
    runs: int
    seed: int
    statistics_examples: int


@dataclasses.dataclass(frozen=True)
class EvalRequest:
    """The checkpoints of a run to score."""

    run_dir: Path
    options: EvalOptions
    reading: "LoadOptions"  # non-default fields override those of the run
    data: str | None = None  # None: the training data of the run
    steps: str = "latest"  # latest, all, best, or comma-separated numbers
    every: int = 1  # with steps="all": only multiples of this
    continuous: bool = False  # score checkpoints while they are being written


def eval_options(arguments: argparse.Namespace) -> EvalOptions:
    """The options that `add_settings` declares.

    Raises:
      UserError: a metric is unknown.
    """
    return EvalOptions(
        extractor=arguments.extractor,
        metrics=None if arguments.metrics is None else metric_names(arguments.metrics),
        images=arguments.images,
        runs=arguments.num_eval_averaging_runs,
        seed=arguments.eval_seed,
        statistics_examples=arguments.statistics_examples,
    )


def eval_settings(options: EvalOptions, dataset: Any) -> Any:
    """The `EvalSettings` for a data set."""
    from compare_gan.core.files import user_cache
    from compare_gan.evaluation.evaluate import EvalSettings

    chosen = {} if options.metrics is None else {"metrics": options.metrics}
    return EvalSettings(
        images=max(5000, len(dataset.test)) if options.images is None else options.images,
        seed=options.seed,
        statistics_examples=options.statistics_examples,
        runs=options.runs,
        cache=user_cache() / "features",
        **chosen,
    )


def metric_names(arguments: Sequence[str]) -> tuple[str, ...]:
    """Distinct names of metrics, separated by spaces or commas.

    Raises:
      UserError: there are none, or one is unknown.
    """
    from compare_gan import metrics as _  # noqa: F401 (registers them)
    from compare_gan.core.registry import METRICS

    names = tuple(dict.fromkeys(name for argument in arguments for name in argument.split(",") if name))
    if not names:
        raise UserError("--metrics names no metric")
    for name in names:
        METRICS[name]  # raises if it is unknown
    return names


def evaluate(arguments: argparse.Namespace) -> int:
    sources = [name for name in ("run", "images_from", "features") if getattr(arguments, name)]
    if len(sources) != 1:
        raise UserError("give exactly one of: a run folder, --images_from, --features")
    check_writable("json", arguments.json)
    options = eval_options(arguments)  # validates the names before any data is read
    if arguments.continuous and arguments.distributed:
        raise UserError("--continuous runs in one process; leave out --distributed")
    join(arguments)
    from compare_gan.core.processes import is_main_process

    if arguments.run:
        scores = evaluate_run(run_request(arguments, options))
    else:
        scores = (evaluate_images if arguments.images_from else evaluate_features)(arguments, options)
    if arguments.json and is_main_process():
        Path(arguments.json).write_text(json.dumps(scores.rows, indent=2) + "\n")
        print(f"scores: {arguments.json}")
    return FAILED if scores.failed else 0


def run_request(arguments: argparse.Namespace, options: EvalOptions) -> EvalRequest:
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
    return EvalRequest(
        Path(arguments.run),
        options,
        reading(arguments),
        data=arguments.data,
        steps=arguments.steps,
        every=arguments.every,
        continuous=arguments.continuous,
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
            print(f"{name}: {value}")
    return {*metrics} <= {*row["scored"].split()}


def evaluate_run(request: EvalRequest) -> Scores:
    """Scores checkpoints of a run; prints each row and adds it to the run's `scores.csv`.

    Raises:
      UserError: the folder is not a run, a checkpoint is missing, or the data, the extractor or a metric is
        incompatible.
    """
    from compare_gan.core.placement import Placement
    from compare_gan.core.registry import METRICS
    from compare_gan.evaluation.evaluate import check_settings
    from compare_gan.evaluation.scores import read_scores
    from compare_gan.evaluation.steps import poll_steps, score_steps, select_steps
    from compare_gan.features import open_extractor
    from compare_gan.runs import open_run

    options, run_dir = request.options, request.run_dir
    run = open_run(run_dir)
    steps: Any = None if request.continuous else select_steps(run_dir, request.steps, request.every)
    dataset = data_of_run(run_dir, run.about, request.data, request.reading)
    extractor, settings = open_extractor(options.extractor), eval_settings(options, dataset)
    if any("train" in METRICS[name].needs for name in settings.metrics):
        dataset = with_training_labels(dataset, run_dir, run.about)
    dataset = with_training_classes(dataset, tuple(run.about["class_names"]))
    check_settings(settings, run.gan, dataset, extractor, lenient=options.metrics is None)
    template = Placement.create().replicate(run.template())
    if steps is None:
        steps = poll_steps(run_dir, request.every)
    complete = True
    for row in score_steps(run_dir, steps, run.gan, template, dataset, extractor, settings):
        complete &= print_row(row, settings.metrics)
    return Scores(read_scores(run_dir), not complete)


def data_of_run(run_dir: Path, about: dict[str, Any], data: str | None, load_options: "LoadOptions") -> Any:
    """Opens `data`, or the data set that a run was trained on.

    Args:
      about: the contents of `run.json`.
      load_options: non-default fields override how the run loaded its data.

    Raises:
      UserError: the data is missing, its images have another size, or its label file has changed.
    """
    from compare_gan.core.run_files import ABOUT
    from compare_gan.data import LoadOptions, open_dataset
    from compare_gan.data.loading import with_channels

    if about["reading"].get("labels"):
        check_label_file(run_dir, about)
    options = dataclasses.asdict(load_options)
    changed = {name: value for name, value in options.items() if value != getattr(LoadOptions(), name)}
    source = data or about["data"]
    try:
        dataset = open_dataset(source, reading=LoadOptions(**(about["reading"] | changed)))
    except UserError as error:
        if data:
            raise
        reason = str(error).partition("; known:")[0]  # the list of known data sets does not help here
        raise UserError(
            f"{run_dir / ABOUT} names data that cannot be opened: {reason}; if the data has moved, give "
            "--data"
        ) from None
    shape, expected = dataset.spec.image_shape, tuple(about["image_shape"])
    if shape == (*expected[:2], 1):  # greyscale data for a GAN of colour images
        train, test = (with_channels(split, expected[2]) for split in (dataset.train, dataset.test))
        return dataclasses.replace(dataset, train=train, test=test)
    if shape != expected:
        raise UserError(
            f"{run_dir} generates images {'x'.join(map(str, expected))}, but those of {source} are "
            f"{'x'.join(map(str, shape))}; give --image_size or a different --data"
        )
    return dataset


def check_label_file(run_dir: Path, about: dict[str, Any]) -> None:
    """Checks that the label file of a run is unchanged.

    Raises:
      UserError: the label file that `run.json` names is missing or has changed.
    """
    from compare_gan.core.run_files import ABOUT
    from compare_gan.data.labels import describe_choice

    labels = about.get("labels") or {}
    if "sha256" not in labels:
        return
    try:
        same = describe_choice(labels["choice"])["sha256"] == labels["sha256"]
    except UserError as error:
        raise UserError(f"{run_dir / ABOUT} names a label file: {error}; restore it") from None
    if not same:
        raise UserError(
            f"{labels['choice']}: has changed since {run_dir / ABOUT} recorded it; restore the file"
        )


def with_training_labels(dataset: Any, run_dir: Path, about: dict[str, Any]) -> Any:
    """The data set with the training labels that --labels assigned, as recorded in `run.json`.

    Raises:
      UserError: the label file is missing or has changed.
    """
    from compare_gan.data.labels import labelled_only, relabelled

    labels = about.get("labels")
    if labels and not about["reading"].get("labels"):  # otherwise they were loaded with the images
        check_label_file(run_dir, about)
        dataset = relabelled(dataset, labels["choice"])
    return labelled_only(dataset) if about.get("labelled_only") else dataset


def with_training_classes(dataset: Any, class_names: tuple[str, ...]) -> Any:
    """The data set with the class indices of a GAN; training images of other classes become unlabelled."""
    from compare_gan.evaluation.classes import with_classes

    train = with_classes(dataset.train, dataset.class_names, class_names)
    return dataclasses.replace(
        dataset, train=train, class_names=class_names, test_class_names=dataset.test_classes
    )


def evaluate_images(arguments: argparse.Namespace, options: EvalOptions) -> Scores:
    from compare_gan.evaluation.sources import (
        is_statistics_file,
        read_features,
        score_against_features,
        score_images,
    )
    from compare_gan.features import open_extractor

    if bool(arguments.reference) == bool(arguments.reference_features):
        raise UserError(
            "--images_from needs exactly one of --reference (a data set) and --reference_features"
        )
    path = arguments.reference_features
    if path is None and is_statistics_file(Path(arguments.reference)):
        path = arguments.reference
    if path and arguments.reference_split:
        raise UserError(f"--reference_split is for images; {path} holds features")
    extractor, load_options = open_extractor(options.extractor), reading(arguments)
    names = options.metrics or IMAGE_METRICS
    reference: Any = read_features(Path(path)) if path else None
    fake = source(arguments.images_from, load_options, None, use_all=True)
    compared = f"{len(fake.split)} images of {fake} against "
    if path:
        row = {"compared": f"{compared}{path}, which must contain features of {extractor.name}"}
        row |= score_against_features(fake, reference, extractor, names, options.seed)
    else:
        real = source(arguments.reference, load_options, arguments.reference_split, use_all=False)
        row = {"compared": f"{compared}{len(real.split)} of {real}"}
        row |= score_images(fake, real, extractor, names, options.seed)
    return Scores(row, not print_row(row, names))


def source(name: str, load_options: Any, which: Any, use_all: bool) -> Any:
    """Opens images to score or to use as reference.

    Args:
      which: the split; None: `test` if the source has a test split or part of it is held out, else `all`.
      use_all: changes the default split to `train` if the source has a test split, else `all`; nothing is
        held out.
    """
    from compare_gan.data.loading import load_split
    from compare_gan.data.source import find, with_preset
    from compare_gan.evaluation.sources import Source

    load_options = with_preset(name, load_options)
    contents = find(name, load_options)
    if which is None:
        held_out = load_options.test_data or load_options.holdout
        if use_all:
            which = "all" if contents.test is None else "train"
        else:
            which = "test" if contents.test is not None or held_out else "all"
    return Source(name, which, load_split(contents, load_options, which), contents.class_names)


def evaluate_features(arguments: argparse.Namespace, options: EvalOptions) -> Scores:
    import numpy as np

    from compare_gan.evaluation.sources import read_features, score_features

    if not arguments.reference_features:
        raise UserError("--features needs --reference_features, the reference file")
    files = arguments.features, arguments.reference_features
    fake, real = (read_features(Path(path)) for path in files)
    names = options.metrics or IMAGE_METRICS
    sides = (
        f"features of {len(side)} images of {path}"
        if isinstance(side, np.ndarray)
        else f"mu and sigma of {path}"
        for side, path in zip((fake, real), files, strict=True)
    )
    row: dict[str, Any] = {"compared": " against ".join(sides)}
    row |= score_features(fake, real, names, options.seed)
    return Scores(row, not print_row(row, names))

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
FAILED = 1  # exit code: a metric failed, and the others were scored


def add(commands) -> None:
    made = declare(
        commands,
        evaluate,
        "evaluate",
        "Score a run, a folder of images (--images_from), or a file of features (--features).",
        "runs/demo/s3gan --steps all",
    )
    made.add_argument("run", nargs="?", help="run folder")
    made.add_argument("--steps", default="latest", help="latest, all, best, or numbers such as 1000,2000")
    made.add_argument("--every", type=int, default=1, help="of all steps, those at multiples of this")
    made.add_argument("--continuous", action="store_true", help="score each checkpoint as training writes it")
    made.add_argument("--data", help="name or path; default: what the run was trained on")
    made.add_argument("--images_from", help="score the images of this folder or file, not a run")
    made.add_argument("--reference", help="with --images_from: data set to compare with")
    made.add_argument(
        "--reference_split",
        choices=("train", "test", "all"),
        help="which images of --reference; default: test, or all if it has no test split of its own",
    )
    made.add_argument("--features", help="score the features of this .npy or .npz file, not a run")
    made.add_argument(
        "--reference_features",
        help="with --features or --images_from: file of features, or of mu and sigma, to compare with",
    )
    made.add_argument("--json", help="file for the scores")
    add_hosts(made)
    add_settings(made)
    add_reading(made)


def add_settings(made: Parser) -> None:
    """Arguments that say how scores are made; `eval_options` takes them."""
    made.add_argument(
        "--extractor",
        default="digits",
        help="digits, inception, inception_clean, or a file: of compare-gan classifier, weights of "
        "Inception, .onnx",
    )
    made.add_argument(
        "--metrics",
        action="extend",
        nargs="+",
        help="names; default: frechet_distance and class_agreement",
    )
    made.add_argument(
        "--images", type=int, help="images to generate for a set; default: as many as real ones, 5000 or more"
    )
    made.add_argument("--num_eval_averaging_runs", type=int, default=3, help="sets of images that are scored")
    made.add_argument("--eval_seed", type=int, default=42, help="of the generated images")
    add_statistics_examples(made)


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """How scores are made; see `add_settings`."""

    extractor: str
    metrics: tuple[str, ...] | None  # None: the usual ones, as far as they fit
    images: int | None  # None: as many as there are real ones, 5000 or more
    runs: int
    seed: int
    statistics_examples: int


@dataclasses.dataclass(frozen=True)
class EvalRequest:
    """Checkpoints of a run that are to be scored."""

    run_dir: Path
    options: EvalOptions
    reading: "LoadOptions"  # what differs from the default replaces how the run read its data
    data: str | None = None  # in place of what the run was trained on
    steps: str = "latest"  # latest, all, best, or numbers with commas between them
    every: int = 1  # of all steps, those at multiples of this
    continuous: bool = False  # score each checkpoint as training writes it


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
    """How a GAN is scored on a data set."""
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


def metric_names(words: Sequence[str]) -> tuple[str, ...]:
    """Names of metrics, each once, however they were separated.

    Raises:
      UserError: there are none, or one is unknown.
    """
    from compare_gan import metrics as _  # noqa: F401 (registers them)
    from compare_gan.core.registry import METRICS

    names = tuple(dict.fromkeys(name for word in words for name in word.split(",") if name))
    if not names:
        raise UserError("--metrics names no metric")
    for name in names:
        METRICS[name]  # raises if there is none
    return names


def evaluate(arguments: argparse.Namespace) -> int:
    given = [name for name in ("run", "images_from", "features") if getattr(arguments, name)]
    if len(given) != 1:
        raise UserError("give one of: a run folder, --images_from, --features")
    check_writable("json", arguments.json)
    options = eval_options(arguments)  # names are checked before anything is read
    if arguments.continuous and arguments.distributed:
        raise UserError("scores are made continuously by one process; leave out --distributed")
    join(arguments)
    from compare_gan.core.processes import is_main_process

    if arguments.run:
        scores = evaluate_run(run_request(arguments, options))
    else:
        scores = (of_images if arguments.images_from else of_features)(arguments, options)
    if arguments.json and is_main_process():
        Path(arguments.json).write_text(json.dumps(scores.found, indent=2) + "\n")
        print(f"scores: {arguments.json}")
    return FAILED if scores.failed else 0


def run_request(arguments: argparse.Namespace, options: EvalOptions) -> EvalRequest:
    """What to score of a run.

    Raises:
      UserError: an option is not for runs.
    """
    if lost := [
        name for name in ("reference", "reference_split", "reference_features") if getattr(arguments, name)
    ]:
        raise UserError(
            f"--{lost[0]} is for --images_from; a run is compared with its own data, or with --data"
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
    """What a command found out."""

    found: Any  # a row, or the rows of a run
    failed: bool  # whether a metric has no score that should have one


def shown(row: dict[str, Any], wanted: Sequence[str]) -> bool:
    """Prints a row; whether each of the wanted metrics was scored."""
    for name, value in row.items():
        if name != "scored":
            print(f"{name}: {value}")
    return {*wanted} <= {*row["scored"].split()}


def evaluate_run(request: EvalRequest) -> Scores:
    """Scores checkpoints of a run; prints each row and adds it to the run's `scores.csv`.

    Raises:
      UserError: this is not a run, there is no such checkpoint, or the data, the extractor or a metric does
        not fit.
    """
    from compare_gan.core.placement import Placement
    from compare_gan.core.registry import METRICS
    from compare_gan.evaluation.evaluate import check_settings
    from compare_gan.evaluation.scores import read_scores
    from compare_gan.evaluation.steps import as_they_come, chosen, score_steps
    from compare_gan.features import open_extractor
    from compare_gan.runs import open_run

    options, run_dir = request.options, request.run_dir
    run = open_run(run_dir)
    steps: Any = None if request.continuous else chosen(run_dir, request.steps, request.every)
    dataset = data_of_run(run_dir, run.about, request.data, request.reading)
    extractor, how = open_extractor(options.extractor), eval_settings(options, dataset)
    if any("train" in METRICS[name].needs for name in how.metrics):
        dataset = under_training_labels(dataset, run_dir, run.about)
    dataset = under_training_classes(dataset, tuple(run.about["class_names"]))
    check_settings(how, run.gan, dataset, extractor, lenient=options.metrics is None)
    template = Placement.create().replicate(run.template())
    if steps is None:
        steps = as_they_come(run_dir, request.every)
    complete = True
    for row in score_steps(run_dir, steps, run.gan, template, dataset, extractor, how):
        complete &= shown(row, how.metrics)
    return Scores(read_scores(run_dir), not complete)


def data_of_run(run_dir: Path, about: dict[str, Any], data: str | None, how: "LoadOptions") -> Any:
    """The data set that a run was trained on, or `data`.

    Args:
      about: what the run notes of itself.
      how: what differs from the default replaces how the run read its data.

    Raises:
      UserError: it is gone, its images are of another size, or its label file has changed.
    """
    from compare_gan.core.run_files import ABOUT
    from compare_gan.data import LoadOptions, open_dataset
    from compare_gan.data.loading import with_channels

    if about["reading"].get("labels"):
        check_label_file(run_dir, about)
    given = dataclasses.asdict(how)
    changed = {name: value for name, value in given.items() if value != getattr(LoadOptions(), name)}
    source = data or about["data"]
    try:
        dataset = open_dataset(source, reading=LoadOptions(**(about["reading"] | changed)))
    except UserError as error:
        if data:
            raise
        reason = str(error).partition("; known:")[0]  # names of data sets do not help here
        raise UserError(
            f"{run_dir / ABOUT} names data that cannot be opened: {reason}; if it is elsewhere, give --data"
        ) from None
    shape, wanted = dataset.spec.image_shape, tuple(about["image_shape"])
    if shape == (*wanted[:2], 1):  # grey data meets a GAN of colour images
        train, test = (with_channels(split, wanted[2]) for split in (dataset.train, dataset.test))
        return dataclasses.replace(dataset, train=train, test=test)
    if shape != wanted:
        raise UserError(
            f"{run_dir} generates images {'x'.join(map(str, wanted))}, and those of {source} are "
            f"{'x'.join(map(str, shape))}; give --image_size or other --data"
        )
    return dataset


def check_label_file(run_dir: Path, about: dict[str, Any]) -> None:
    """Refuses to score with other labels than a run was trained with.

    Raises:
      UserError: the label file that `run.json` names is gone, or has changed.
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
        raise UserError(f"{labels['choice']}: has changed since {run_dir / ABOUT} noted it; restore the file")


def under_training_labels(dataset: Any, run_dir: Path, about: dict[str, Any]) -> Any:
    """The data set under the labels that --labels gave to its training images, as `run.json` notes them.

    Raises:
      UserError: the label file is gone, or has changed.
    """
    from compare_gan.data.labels import labelled_only, relabelled

    labels = about.get("labels")
    if labels and not about["reading"].get("labels"):  # else they came with the images
        check_label_file(run_dir, about)
        dataset = relabelled(dataset, labels["choice"])
    return labelled_only(dataset) if about.get("labelled_only") else dataset


def under_training_classes(dataset: Any, class_names: tuple[str, ...]) -> Any:
    """The data set with the classes of a GAN; training images of other classes are unlabelled."""
    from compare_gan.evaluation.classes import under_classes

    train = under_classes(dataset.train, dataset.class_names, class_names)
    return dataclasses.replace(
        dataset, train=train, class_names=class_names, test_class_names=dataset.test_classes
    )


def of_images(arguments: argparse.Namespace, options: EvalOptions) -> Scores:
    from compare_gan.evaluation.sources import (
        has_statistics_alone,
        read_features,
        score_against_features,
        score_images,
    )
    from compare_gan.features import open_extractor

    if bool(arguments.reference) == bool(arguments.reference_features):
        raise UserError("--images_from needs --reference (a data set) or --reference_features, one of them")
    path = arguments.reference_features
    if path is None and has_statistics_alone(Path(arguments.reference)):
        path = arguments.reference
    if path and arguments.reference_split:
        raise UserError(f"--reference_split is for images; {path} holds features")
    extractor, how = open_extractor(options.extractor), reading(arguments)
    names = options.metrics or IMAGE_METRICS
    given: Any = read_features(Path(path)) if path else None
    fake = source(arguments.images_from, how, None, whole=True)
    compared = f"{len(fake.split)} images of {fake} against "
    if path:
        row = {"compared": f"{compared}{path}, which must be of {extractor.name}"}
        row |= score_against_features(fake, given, extractor, names, options.seed)
    else:
        real = source(arguments.reference, how, arguments.reference_split, whole=False)
        row = {"compared": f"{compared}{len(real.split)} of {real}"}
        row |= score_images(fake, real, extractor, names, options.seed)
    return Scores(row, not shown(row, names))


def source(name: str, how: Any, which: Any, whole: bool) -> Any:
    """Images to score or to compare with.

    Args:
      which: the split; None: `test` if the source has one or part of it is to be held out, else `all`. Where
        `whole`, `train` takes the place of `test`, and nothing is held out.
    """
    from compare_gan.data.loading import load_split
    from compare_gan.data.source import find, with_preset
    from compare_gan.evaluation.sources import Source

    how = with_preset(name, how)
    contents = find(name, how)
    if which is None:
        held_out = how.test_data or how.holdout
        if whole:
            which = "all" if contents.test is None else "train"
        else:
            which = "test" if contents.test is not None or held_out else "all"
    return Source(name, which, load_split(contents, how, which), contents.class_names)


def of_features(arguments: argparse.Namespace, options: EvalOptions) -> Scores:
    import numpy as np

    from compare_gan.evaluation.sources import read_features, score_features

    if not arguments.reference_features:
        raise UserError("--features needs --reference_features, a file to compare with")
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
    return Scores(row, not shown(row, names))

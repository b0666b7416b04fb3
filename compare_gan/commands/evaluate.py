"""Score a run, a folder of images, or a file of features."""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from compare_gan.commands.shared import (
    Parser,
    add_hosts,
    add_reading,
    declare,
    join,
    open_data,
    open_gan,
    reading,
)
from compare_gan.core.errors import UserError


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
    made.add_argument("--reference", help="with --images_from: data set whose test images to compare with")
    made.add_argument("--features", help="score the features of this .npy or .npz file, not a run")
    made.add_argument("--reference_features", help="with --features: the file of features to compare with")
    made.add_argument("--json", help="file for the scores")
    add_hosts(made)
    add_settings(made)
    add_reading(made)


def add_settings(made: Parser) -> None:
    """Arguments that say how scores are made; `settings` and `extractor` take them."""
    made.add_argument(
        "--extractor",
        default="digits",
        help="digits, inception, inception_clean, or a file: of compare-gan classifier, weights of "
        "Inception, .onnx",
    )
    made.add_argument("--metrics", nargs="+", help="names; default: frechet_distance and class_agreement")
    made.add_argument(
        "--images", type=int, help="images to generate for a set; default: as many as real ones, 5000 or more"
    )
    made.add_argument("--num_eval_averaging_runs", type=int, default=3, help="sets of images that are scored")
    made.add_argument("--eval_seed", type=int, default=42, help="of the generated images")
    made.add_argument(
        "--statistics_examples",
        type=int,
        default=204_800,
        help="images from which accumulated batch statistics are taken",
    )


def settings(arguments: argparse.Namespace, dataset: Any) -> Any:
    from compare_gan.core.files import user_cache
    from compare_gan.evaluation.evaluate import EvalSettings

    chosen = {} if arguments.metrics is None else {"metrics": metrics(arguments)}
    return EvalSettings(
        images=max(5000, len(dataset.test)) if arguments.images is None else arguments.images,
        seed=arguments.eval_seed,
        statistics_examples=arguments.statistics_examples,
        runs=arguments.num_eval_averaging_runs,
        cache=user_cache() / "features",
        **chosen,
    )


def metrics(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Names of metrics, however they were separated."""
    words = arguments.metrics or ["frechet_distance"]
    return tuple(name for word in words for name in word.split(",") if name)


def evaluate(arguments: argparse.Namespace) -> None:
    given = [name for name in ("run", "images_from", "features") if getattr(arguments, name)]
    if len(given) != 1:
        raise UserError("give one of: a run folder, --images_from, --features")
    if arguments.json and not os.access(Path(arguments.json).absolute().parent, os.W_OK):
        raise UserError(f"{arguments.json}: cannot write there; choose another --json")
    if arguments.continuous and arguments.distributed:
        raise UserError("scores are made continuously by one process; leave out --distributed")
    join(arguments)
    from compare_gan.core.processes import first

    scores = {"run": of_run, "images_from": of_images, "features": of_features}[given[0]](arguments)
    if arguments.json and first():
        Path(arguments.json).write_text(json.dumps(scores, indent=2) + "\n")
        print(f"scores: {arguments.json}")


def show(scores: dict[str, Any]) -> None:
    for name, value in scores.items():
        print(f"{name}: {value}")


def of_run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from compare_gan.core.placement import Placement
    from compare_gan.data import Reading
    from compare_gan.evaluation.schedule import as_they_come, chosen, score_steps
    from compare_gan.evaluation.scores import read_scores
    from compare_gan.features import open_extractor
    from compare_gan.train.gan import data_of, read_run

    run_dir = Path(arguments.run)
    read_run(run_dir)  # is it one?
    steps: Any = chosen(run_dir, arguments.steps, arguments.every) if not arguments.continuous else None
    about, gan, template = open_gan(run_dir)
    dataset = open_data(arguments.data or data_of(run_dir, about), Reading(**about["reading"]))
    dataset = dataclasses.replace(dataset, class_names=tuple(about["class_names"]))
    extractor, how = open_extractor(arguments.extractor), settings(arguments, dataset)
    template = Placement.over().hold(template)
    if steps is None:
        steps = as_they_come(run_dir, arguments.every)
    for row in score_steps(run_dir, steps, gan, template, dataset, extractor, how):
        show(row)
    return read_scores(run_dir)


def of_images(arguments: argparse.Namespace) -> dict[str, Any]:
    from compare_gan.data import open_dataset
    from compare_gan.data.loading import load_all
    from compare_gan.data.source import find
    from compare_gan.evaluation.sets import score_images
    from compare_gan.features import open_extractor

    if not arguments.reference:
        raise UserError("--images_from needs --reference, a data set to compare with")
    how = reading(arguments)
    fake = load_all(find(arguments.images_from, how), how)
    real = open_dataset(arguments.reference, reading=how).test.images
    scores = score_images(
        fake, real, open_extractor(arguments.extractor), metrics(arguments), arguments.eval_seed
    )
    show(scores)
    return scores


def of_features(arguments: argparse.Namespace) -> dict[str, Any]:
    from compare_gan.evaluation.sets import read_features, score_features

    if not arguments.reference_features:
        raise UserError("--features needs --reference_features, a file to compare with")
    fake, real = (read_features(Path(path)) for path in (arguments.features, arguments.reference_features))
    scores = score_features(fake, real, metrics(arguments), arguments.eval_seed)
    show(scores)
    return scores

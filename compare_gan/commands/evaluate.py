"""Score a run."""

import argparse
import dataclasses
from pathlib import Path

from compare_gan.commands.shared import declare, open_data, open_run


def add(commands) -> None:
    made = declare(commands, evaluate, "evaluate", "Score the newest checkpoint of a run.", "runs/demo/s3gan")
    made.add_argument("run", help="run folder")
    made.add_argument("--data", help="name or path; default: what the run was trained on")
    made.add_argument(
        "--extractor",
        default="digits",
        help="digits, inception, inception_clean, or a file: of compare-gan classifier, weights of Inception, "
        ".onnx",
    )
    made.add_argument("--images", type=int, default=5000, help="images to generate")


def evaluate(arguments: argparse.Namespace) -> None:
    from compare_gan.data import Reading
    from compare_gan.evaluation.evaluate import EvalSettings, write_scores
    from compare_gan.evaluation.evaluate import evaluate as score
    from compare_gan.features import open_extractor

    run_dir = Path(arguments.run)
    about, gan, state = open_run(run_dir)
    dataset = open_data(arguments.data or about["data"], Reading(**about["reading"]))
    dataset = dataclasses.replace(dataset, class_names=tuple(about["class_names"]))
    row = score(gan, state, dataset, open_extractor(arguments.extractor), EvalSettings(arguments.images))
    write_scores(run_dir, row)
    for name, value in row.items():
        print(f"{name}: {value}")

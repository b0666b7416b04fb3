"""Accuracy of labels that a recipe infers from a few.

  python -m benchmarks.labels --data FOLDER --label_recipe photos --label_fraction 0.1 --out runs/labels

The same command resumes an interrupted run, so it can be run in pieces: timeout 1500 python -m ... It
prints the result and writes it to result.json. The program selects nothing by hidden or test labels; the
data on which the recipe itself was tuned is not recorded.
"""

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from compare_gan.core.allocator import keep_freed_memory

keep_freed_memory()

import jax  # noqa: E402

from compare_gan.core.errors import UserError  # noqa: E402
from compare_gan.core.files import read_json, run_folder, write_json  # noqa: E402
from compare_gan.core.interrupt import Interrupted  # noqa: E402
from compare_gan.data import open_dataset  # noqa: E402
from compare_gan.data.base import UNLABELLED, hard_labels  # noqa: E402
from compare_gan.data.fingerprint import nothing_held_out  # noqa: E402
from compare_gan.fewlabels import (  # noqa: E402
    extract,
    infer_labels,
    keep_labels,
    pretrain,
    write_probe,
    write_quality,
)
from compare_gan.fewlabels.budget import PerClass  # noqa: E402
from compare_gan.fewlabels.recipe import RECIPES  # noqa: E402

SETTINGS, SECONDS = "settings.json", "seconds.json"
STEPS = ("pretrain_steps", "classify_steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", required=True, help="labelled images: a name, a folder, or a file such as .npz"
    )
    parser.add_argument(
        "--label_recipe", required=True, choices=list(RECIPES), help="how labels are inferred"
    )
    parser.add_argument("--out", required=True, type=Path, help="where everything is written")
    kept = parser.add_mutually_exclusive_group(required=True)
    kept.add_argument("--label_fraction", type=float, help="share of the labels that are kept")
    kept.add_argument("--labels_per_class", type=int, help="number of labels of each class that are kept")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")
    for name in STEPS:
        parser.add_argument(f"--{name}", type=int, help="in place of those of the recipe")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    arguments = parser.parse_args()
    try:
        result = measure(arguments)
    except UserError as error:
        sys.exit(f"labels: {error}")
    except Interrupted as stop:
        sys.exit(f"{stop}; the same command resumes")
    print(
        "accuracy: {accuracy:.2%} on {labels_hidden} hidden labels, {test:.2%} on test images".format(
            **result
        )
    )


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    recipe = RECIPES[arguments.label_recipe]
    steps = {name: value for name in STEPS if (value := getattr(arguments, name)) is not None}
    recipe = dataclasses.replace(recipe, **steps, precision=arguments.precision)
    folder, seed = run_folder(arguments.out), arguments.seed
    settings = {name: str(value) for name, value in vars(arguments).items() if name != "out"}
    settings["recipe"] = repr(recipe)
    if (folder / SETTINGS).exists() and read_json(folder / SETTINGS) != settings:
        raise UserError(f"{folder}: holds a run with other settings; choose another --out")
    write_json(folder / SETTINGS, settings)
    full = open_dataset(arguments.data)
    count = arguments.labels_per_class
    few = keep_labels(full, arguments.label_fraction if count is None else PerClass(count), seed, folder)
    known = [hard_labels(split) != UNLABELLED for split in (full.train, full.test)]
    hidden = known[0].sum() > (few.train.labels != UNLABELLED).sum()
    if not hidden or not known[1].any() or nothing_held_out(full):
        raise UserError(f"{arguments.data}: has no hidden labels, or no labelled test images, to measure on")
    with counted(folder, "pretrain"):
        encoder = pretrain(few, recipe, seed, folder)
    with counted(folder, "probe"):
        features = write_probe(few, extract(few, encoder, folder), folder)
    with counted(folder, "infer"):
        inferred = infer_labels(few, encoder, recipe, seed, folder)
    quality = write_quality(full, inferred, folder, few)
    result = {
        "accuracy": quality["accuracy"],
        "test": quality["test"]["accuracy"],
        "calibration_error": quality["calibration_error"],
        "features": features,
        "labels_kept": sum(quality["kept_balance"]),
        "labels_hidden": quality["hidden_labels"],
        "seconds": read_json(folder / SECONDS),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "finished": time.strftime("%Y-%m-%d"),
    }
    write_json(folder / "result.json", result)
    return result


@contextlib.contextmanager
def counted(folder: Path, stage: str) -> Iterator[None]:
    """Adds what a stage takes to the seconds that it took before it was stopped."""
    path, began = folder / SECONDS, time.monotonic()
    try:
        yield
    finally:
        spent = read_json(path) if path.exists() else {}
        write_json(path, spent | {stage: round(spent.get(stage, 0.0) + time.monotonic() - began, 1)})


if __name__ == "__main__":
    main()

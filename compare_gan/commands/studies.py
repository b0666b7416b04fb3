"""Shared by `few-labels`, `study` and `demo`: their arguments and the study that these describe."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare_gan.commands.shared import (
    Parser,
    add_labels_file,
    add_reading,
    add_sources,
    one_or_several,
    reading,
)
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.run_files import REPORT, SETTINGS

if TYPE_CHECKING:
    from compare_gan.data import ImageDataset
    from compare_gan.fewlabels.study import ConfiguredGAN, Study
    from compare_gan.studies import StudyRequest

RECIPE_OPTIONS = {  # option -> field of a label recipe
    "classifier": "classifier",
    "encoder": "encoder",
    "encoder_width": "width",
    "pretrain_steps": "pretrain_steps",
    "classify_steps": "classify_steps",
    "clusters": "clusters",
    "confidence": "confidence",
}


def add_data(parser: Parser) -> None:
    """Adds the arguments for the images and labels of a study."""
    add_sources(parser)
    parser.add_argument("--model_dir", required=True, help="output folder")
    add_labels_file(parser)
    add_reading(parser)


def add_methods(parser: Parser, default: list[str]) -> None:
    parser.add_argument(
        "--methods", "--method", nargs="+", choices=list(LABEL_METHODS), default=default, help="GANs to train"
    )


def add_training(parser: Parser) -> None:
    parser.add_argument("--steps", type=int, help="generator updates of each GAN; default: 1500, quick 40")
    parser.add_argument("--quick", action="store_true", help="shorten every stage, for a quick test")
    parser.add_argument(
        "--gin_config", default="small.gin", help="configuration of networks and training, for every GAN"
    )
    parser.add_argument(
        "--gin_bindings", action="append", default=[], help="bindings added to the configuration of every GAN"
    )
    parser.add_argument(
        "--extractor",
        help="feature extractor for scores; default: one made for the data set, or the pre-trained encoder",
    )


def add_inference(parser: Parser) -> None:
    parser.add_argument(
        "--label_recipe",
        default="digits",
        help="how labels are inferred: digits (takes seconds), photos (about 32 pixels a side, on a CPU), "
        "photos_gpu, or paper (rotation and S4L only)",
    )
    parser.add_argument(
        "--classifier",
        choices=["s4l", "linear"],
        help="classifier that infers labels; default: s4l, or linear with --features",
    )
    parser.add_argument(
        "--features", help="file with features of all images, replacing those of the pre-trained encoder"
    )
    parser.add_argument(
        "--encoder",
        help="small, halved, wide28 or resnet50; this and the following options override the recipe",
    )
    parser.add_argument("--encoder_width", type=int, help="channels of the first layer of the encoder")
    parser.add_argument("--pretrain_steps", type=int, help="rotation pre-training steps of the encoder")
    parser.add_argument("--classify_steps", type=int, help="training steps of the classifier")
    parser.add_argument("--clusters", type=int, help="number of clusters, for the method clustering")
    parser.add_argument(
        "--confidence",
        type=float,
        help="minimum confidence of an inferred label; images below it stay unlabelled",
    )


def data_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `StudyRequest` that `add_data` and `add_methods` set."""
    return {
        "data": one_or_several(arguments.data),
        "reading": reading(arguments, labels=arguments.labels),
        "methods": tuple(arguments.methods),
    }


def option_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `StudyRequest` that `add_inference` and `add_training` set."""
    inference = {field: getattr(arguments, option) for option, field in RECIPE_OPTIONS.items()}
    names = ("label_recipe", "features", "steps", "quick", "gin_config", "extractor")
    return {name: getattr(arguments, name) for name in names} | {
        "inference": {field: value for field, value in inference.items() if value is not None},
        "gin_bindings": tuple(arguments.gin_bindings),
    }


def read_inputs(
    request: "StudyRequest", model_dir: Path
) -> tuple["ImageDataset", dict[str, "ConfiguredGAN"]]:
    """The data set and the GANs of a request. The configuration is validated before images are loaded.

    Raises:
      UserError: an option is invalid, or the data cannot be read.
    """
    from compare_gan.data import open_dataset
    from compare_gan.data.source import refuse_inside
    from compare_gan.studies import configurations, label_recipe

    refuse_inside(model_dir, request.data)
    configured = configurations(request.gin_config, request.gin_bindings, request.methods)
    label_recipe(request.label_recipe)
    return open_dataset(request.data, reading=request.reading), configured


def plan_lines(study: "Study", budget_given: bool) -> list[str]:
    """Lines that describe the data of a study and the number of labels of each budget.

    Args:
      budget_given: whether the user chose the label budgets.
    """
    from compare_gan.fewlabels.budget import choose, describe_budget
    from compare_gan.fewlabels.overview import overview

    data = overview(study.dataset)
    lines = data.lines()
    if not any(method.from_few for method in study.methods):
        return lines
    labels, known = study.dataset.train.labels, dict[int, str]()
    inferring = any(method.labels in ("inferred", "soft") for method in study.methods)
    if inferring and study.label_file is not None:
        lines.append(f"labels: {study.label_file} is used unchanged, no label is inferred")
        inferring = False
        if not any(method.labels == "few" for method in study.methods):
            return lines
    for budget in study.budgets:
        used = len(choose(labels, budget, study.seeds[0]))
        which = f"all {used:,}" if used == data.labelled else f"{used:,} of {data.labelled:,}"
        default = not (budget_given or data.partly_labelled)
        share = f" ({describe_budget(budget)}{'; the default if every image has a label' if default else ''})"
        why = share if used < data.labelled else ""
        what = f" to infer one for each of the {data.train_images:,} training images" if inferring else ""
        lines.append(f"labels: {which} {'is' if used == 1 else 'are'} used{why}{what}")
        if used in known:
            lines.append(f"caution: these are the same {used:,} labels as with {known[used]}")
        known.setdefault(used, describe_budget(budget))
    return lines + (data.measured(data.labelled - max(known)) if inferring else [])


def reduce_compile_time() -> None:
    """Lowers the XLA optimization level, for short runs. Must run before JAX starts."""
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"


def study_folder(base: Path, settings: dict[str, Any], varying: Sequence[str] | None = None) -> Path:
    """`base`, or a sibling folder named after the settings if `base` contains runs with different ones.

    Args:
      base: the requested folder.
      settings: the settings of the study.
      varying: settings that may differ between runs of one folder; None: `GROWING`.
    """
    from compare_gan.studies import EXTENDABLE, changed_settings, sibling_folder

    varying = EXTENDABLE if varying is None else varying
    differing = changed_settings(base, settings, varying)
    if not differing:
        return base
    folder = sibling_folder(base, settings, varying)
    changes = ", ".join("the images or labels" if name == "data_sha256" else name for name in differing)
    print(f"{base} contains runs with different settings ({changes} changed); writing to {folder}")
    return folder


def command_line(command: str, settings: dict[str, Any]) -> list[str]:
    """The command line that reproduces a study."""
    loading, words = settings["reading"], ["compare-gan", command, "--model_dir", "runs/again"]
    options = {name: settings[name] for name in ("data", "steps", "extractor", "features", "label_file")}
    options |= {
        name: loading.get(name) for name in ("labels", "holdout", "test_data", "image_column", "label_column")
    }
    options |= {option: settings["inference"].get(field) for option, field in RECIPE_OPTIONS.items()}
    options |= {
        "image_size": loading["image_size"],
        "resize": loading["resize"],
        "tfds_data_dir": loading["data_dir"],
    }
    options |= {} if loading["broken"] == "fail" else {"broken": loading["broken"]}
    usual = {"gin_config": "small.gin", "label_recipe": "digits"}
    options |= {name: settings[name] for name, value in usual.items() if settings[name] != value}
    fractions, per_class, seeds = (settings[name] or None for name in ("fractions", "per_class", "seeds"))
    if command == "study":
        options |= {"fractions": fractions, "labels_per_class": per_class, "seeds": seeds}
    else:
        options |= {"label_fraction": fractions, "labels_per_class": per_class, "seed": seeds}
    for name, value in (options | {"methods": settings["methods"]}).items():
        if value is not None:
            words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    for line in settings["gin_bindings"]:
        words += ["--gin_bindings", line]
    return [*words, *(["--quick"] if settings["quick"] else [])]


def run_and_report(
    command: str, study: "Study", workers: int = 1, reopen: "Callable[[], Study] | None" = None
) -> int:
    """Runs the remaining tasks, then writes and prints the results. Returns the exit code."""
    from compare_gan.core.files import read_json, run_folder, write_json
    from compare_gan.fewlabels.results import last_summary, results_table, summarise
    from compare_gan.fewlabels.run import run_study
    from compare_gan.fewlabels.tasks import all_done
    from compare_gan.report.page import write_report
    from compare_gan.studies import merge_settings

    report, settings_file = study.folder / REPORT, study.folder / SETTINGS
    settings = merge_settings(
        read_json(settings_file) if settings_file.exists() else study.settings, study.settings
    )
    settings |= {"command": command_line(command, settings)}
    failed = []
    summary = last_summary(study.folder)
    if summary is not None and all_done(study) and report.exists():
        print(f"{study.folder}: all done already")
    else:
        write_json(run_folder(study.folder) / SETTINGS, settings)
        failed = run_study(study, workers, reopen)
        summary = summarise(study)
        write_report(study.folder, report)
    print(results_table(summary))
    for outcome in failed:
        print(f"failed: {outcome.task.name}: {outcome.error}")
    print(f"report: {report}")
    return 1 if failed else 0

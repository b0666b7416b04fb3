"""What `few-labels`, `study` and `demo` share: arguments, and the study that they describe."""

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

LABELS = {  # options that say how labels are inferred, and the fields of a recipe that they set
    "classifier": "classifier",
    "encoder": "encoder",
    "encoder_width": "width",
    "pretrain_steps": "pretrain_steps",
    "classify_steps": "classify_steps",
    "clusters": "clusters",
    "confidence": "confidence",
}


def add_data(made: Parser) -> None:
    """Arguments that say which images and labels a study is about."""
    add_sources(made)
    made.add_argument("--model_dir", required=True, help="where everything is written")
    add_labels_file(made)
    add_reading(made)


def add_methods(made: Parser, default: list[str]) -> None:
    made.add_argument(
        "--methods", "--method", nargs="+", choices=list(LABEL_METHODS), default=default, help="GANs to train"
    )


def add_training(made: Parser) -> None:
    made.add_argument("--steps", type=int, help="generator updates of each GAN; default: 1500, quick 40")
    made.add_argument("--quick", action="store_true", help="every stage shrunken, for a first look")
    made.add_argument("--gin_config", default="small.gin", help="networks and training of every GAN")
    made.add_argument(
        "--gin_bindings", action="append", default=[], help="added to every GAN's configuration"
    )
    made.add_argument(
        "--extractor",
        help="measure with this classifier; default: one that knows the data set, or the pre-trained encoder",
    )


def add_inference(made: Parser) -> None:
    made.add_argument(
        "--label_recipe",
        default="digits",
        help="how labels are inferred: digits (in seconds), photos (of some 32 pixels a side, on a CPU), "
        "photos_gpu, or paper (rotation and S4L alone)",
    )
    made.add_argument(
        "--classifier",
        choices=["s4l", "linear"],
        help="what infers labels; default: s4l, or linear on --features",
    )
    made.add_argument("--features", help="file of features of all images, in place of those of our encoder")
    made.add_argument(
        "--encoder", help="small, halved, wide28 or resnet50; this and what follows change the recipe"
    )
    made.add_argument("--encoder_width", type=int, help="channels of the encoder's first layer")
    made.add_argument("--pretrain_steps", type=int, help="updates of the encoder by rotations")
    made.add_argument("--classify_steps", type=int, help="updates of the classifier")
    made.add_argument("--clusters", type=int, help="how many, for the method clustering")
    made.add_argument("--confidence", type=float, help="leave images unlabelled whose label is less certain")


def given_data(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `StudyRequest` that `add_data` and `add_methods` set."""
    return {
        "data": one_or_several(arguments.data),
        "reading": reading(arguments, labels=arguments.labels),
        "methods": tuple(arguments.methods),
    }


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `StudyRequest` that `add_inference` and `add_training` set."""
    inference = {field: getattr(arguments, option) for option, field in LABELS.items()}
    names = ("label_recipe", "features", "steps", "quick", "gin_config", "extractor")
    return {name: getattr(arguments, name) for name in names} | {
        "inference": {field: value for field, value in inference.items() if value is not None},
        "gin_bindings": tuple(arguments.gin_bindings),
    }


def read_inputs(
    request: "StudyRequest", model_dir: Path
) -> tuple["ImageDataset", dict[str, "ConfiguredGAN"]]:
    """The data set and the GANs of a request. Mistakes in the configuration are found before images are read.

    Raises:
      UserError: an option does not fit, or the data cannot be read.
    """
    from compare_gan.data import open_dataset
    from compare_gan.data.source import refuse_inside
    from compare_gan.studies import configurations, label_recipe

    refuse_inside(model_dir, request.data)
    configured = configurations(request.gin_config, request.gin_bindings, request.methods)
    label_recipe(request.label_recipe)
    return open_dataset(request.data, reading=request.reading), configured


def plan_lines(study: "Study", budget_given: bool) -> list[str]:
    """What data a study has, and how many labels each budget uses.

    Args:
      budget_given: whether the user said how many labels to use.
    """
    from compare_gan.fewlabels.budget import choose, describe_budget
    from compare_gan.fewlabels.overview import overview

    there = overview(study.dataset)
    lines = there.lines()
    if not any(method.from_few for method in study.methods):
        return lines
    labels, known = study.dataset.train.labels, dict[int, str]()
    inferring = any(method.labels in ("inferred", "soft") for method in study.methods)
    if inferring and study.label_file is not None:
        lines.append(f"labels: {study.label_file} is used as it is, no label is inferred")
        inferring = False
        if not any(method.labels == "few" for method in study.methods):
            return lines
    for budget in study.budgets:
        used = len(choose(labels, budget, study.seeds[0]))
        which = f"all {used:,}" if used == there.labelled else f"{used:,} of {there.labelled:,}"
        default = not (budget_given or there.partly_labelled)
        share = f" ({describe_budget(budget)}{'; the default, for every image has one' if default else ''})"
        why = share if used < there.labelled else ""
        what = f" to infer one for each of the {there.train_images:,} training images" if inferring else ""
        lines.append(f"labels: {which} {'is' if used == 1 else 'are'} used{why}{what}")
        if used in known:
            lines.append(f"caution: these are the same {used:,} labels as with {known[used]}")
        known.setdefault(used, describe_budget(budget))
    return lines + (there.measured(there.labelled - max(known)) if inferring else [])


def compile_quickly() -> None:
    """Programs that run for seconds are compiled in seconds. To be called before JAX starts."""
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"


def study_folder(base: Path, settings: dict[str, Any], varying: Sequence[str] | None = None) -> Path:
    """`base`, or beside it a folder named after the settings if `base` holds runs with others.

    Args:
      base: what the user asked for.
      settings: what the user chose.
      varying: settings in which runs of one folder may differ; None: those in which a study grows.
    """
    from compare_gan.studies import EXTENDABLE, changed_settings, sibling_folder

    varying = EXTENDABLE if varying is None else varying
    differing = changed_settings(base, settings, varying)
    if not differing:
        return base
    folder = sibling_folder(base, settings, varying)
    what = ", ".join("the images or labels" if name == "data_sha256" else name for name in differing)
    print(f"{base} holds runs with other settings ({what} changed); these go to {folder}")
    return folder


def command_line(command: str, settings: dict[str, Any]) -> list[str]:
    """The command that does the same again."""
    how, words = settings["reading"], ["compare-gan", command, "--model_dir", "runs/again"]
    given = {name: settings[name] for name in ("data", "steps", "extractor", "features", "label_file")}
    given |= {
        name: how.get(name) for name in ("labels", "holdout", "test_data", "image_column", "label_column")
    }
    given |= {option: settings["inference"].get(field) for option, field in LABELS.items()}
    given |= {"image_size": how["image_size"], "resize": how["resize"], "tfds_data_dir": how["data_dir"]}
    given |= {} if how["broken"] == "fail" else {"broken": how["broken"]}
    usual = {"gin_config": "small.gin", "label_recipe": "digits"}
    given |= {name: settings[name] for name, value in usual.items() if settings[name] != value}
    fractions, per_class, seeds = (settings[name] or None for name in ("fractions", "per_class", "seeds"))
    if command == "study":
        given |= {"fractions": fractions, "labels_per_class": per_class, "seeds": seeds}
    else:
        given |= {"label_fraction": fractions, "labels_per_class": per_class, "seed": seeds}
    for name, value in (given | {"methods": settings["methods"]}).items():
        if value is not None:
            words += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    for line in settings["gin_bindings"]:
        words += ["--gin_bindings", line]
    return [*words, *(["--quick"] if settings["quick"] else [])]


def carry_out(
    command: str, study: "Study", workers: int = 1, reopen: "Callable[[], Study] | None" = None
) -> int:
    """Does what is not done yet; writes and prints what all came to. Returns the exit code."""
    from compare_gan.core.files import read_json, run_folder, write_json
    from compare_gan.fewlabels.results import last_summary, results_table, summarise
    from compare_gan.fewlabels.run import run_study
    from compare_gan.fewlabels.tasks import all_done
    from compare_gan.report.page import write_report
    from compare_gan.studies import merge_settings

    report, there = study.folder / REPORT, study.folder / SETTINGS
    settings = merge_settings(read_json(there) if there.exists() else study.settings, study.settings)
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

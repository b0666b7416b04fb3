"""What `few-labels`, `study` and `demo` share: arguments, and the study that they describe."""

import argparse
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from compare_gan import __version__
from compare_gan.commands.shared import (
    Parser,
    add_labels_file,
    add_reading,
    add_sources,
    one_or_several,
    open_data,
    reading,
)
from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.files import sha256_of
from compare_gan.core.label_methods import LABEL_METHODS

SETTINGS = "settings.json"
QUICK: dict[str, Any] = {"pretrain_steps": 20, "classify_steps": 20, "calibration_fits": 0}
GROWING = ("methods", "fractions", "per_class", "seeds")  # settings that a folder may have more and more of
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


def open_labels(arguments: argparse.Namespace) -> Any:
    """The data set of the arguments. Mistakes in the configuration are found before images are read.

    Raises:
      UserError: an argument does not fit, or the data cannot be read.
    """
    from compare_gan.data.source import refuse_inside

    refuse_inside(Path(arguments.model_dir), arguments.data)
    networks(arguments.gin_config, arguments.gin_bindings, arguments.methods)
    label_recipe(arguments.label_recipe)
    return open_data(one_or_several(arguments.data), reading(arguments, labels=arguments.labels))


def settings_of(
    arguments: argparse.Namespace,
    dataset: Any,
    fractions: list[float],
    per_class: list[int],
    seeds: list[int],
    left_out: list[str],
) -> dict[str, Any]:
    """What the user chose, as plain values: all that it takes to open the study again.

    Paths are absolute, and files and images are there with their SHA-256, so that a folder never mixes
    results of different data.
    """
    from compare_gan.config.recipes import config_file
    from compare_gan.data.fingerprint import dataset_sha256
    from compare_gan.data.source import resolved

    inference = {field: getattr(arguments, option) for option, field in LABELS.items()}
    if arguments.features and arguments.classifier is None:
        inference["classifier"] = "linear"
    steps = (40 if arguments.quick else 1500) if arguments.steps is None else arguments.steps
    how = dataclasses.asdict(reading(arguments, labels=arguments.labels))
    how |= {name: resolved(how[name]) for name in ("labels", "test_data") if how[name]}
    files = {
        "labels": arguments.labels,
        "features": arguments.features,
        "label_file": arguments.label_file,
        "extractor": arguments.extractor,
        "gin_config": str(config_file(arguments.gin_config)),
    }
    paths = {name: path for name, path in files.items() if path and Path(path).is_file()}
    return {
        "data": resolved(one_or_several(arguments.data)),
        "data_sha256": dataset_sha256(dataset),
        "reading": how,
        "methods": list(dict.fromkeys(arguments.methods)),
        "fractions": list(dict.fromkeys(fractions)),
        "per_class": list(dict.fromkeys(per_class)),
        "seeds": list(dict.fromkeys(seeds)),
        "steps": steps,
        "quick": arguments.quick,
        "label_recipe": arguments.label_recipe,
        "inference": {field: value for field, value in inference.items() if value is not None},
        "features": absolute(arguments.features),
        "label_file": absolute(arguments.label_file),
        "extractor": absolute(arguments.extractor),
        "gin_config": absolute(arguments.gin_config),
        "gin_bindings": arguments.gin_bindings,
        "left_out": left_out,
        "files": {name: sha256_of(Path(path)) for name, path in paths.items()},
        "compare_gan": __version__,
    }


def absolute(text: str | None) -> str | None:
    """The path of a file from any folder; what is no file is a name, and stays."""
    return str(Path(text).resolve()) if text and Path(text).is_file() else text


def plan_lines(study: Any, budget_given: bool) -> list[str]:
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
        default = not (budget_given or there.partly)
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


def networks(gin_config: str, gin_bindings: list[str], methods: list[str]) -> dict[str, Any]:
    """The GAN of each recipe that the methods use, by the recipe's name, but for the images.

    Raises:
      UserError: a mistake in the configuration.
    """
    from compare_gan.config.edge import parse
    from compare_gan.config.recipes import config_file, recipe
    from compare_gan.fewlabels.study import Configured

    base, found = config_file(gin_config), {}
    for name in dict.fromkeys(LABEL_METHODS[method].recipe for method in methods):
        parsed = parse([base, recipe(name)], gin_bindings)
        found[name] = Configured(parsed.gan, parsed.operative_config, parsed.dataset.random_flip)
    return found


def label_recipe(name: str) -> Any:
    """How labels are inferred, by name. Raises UserError if there is no such recipe."""
    from compare_gan.fewlabels.recipe import RECIPES

    if name not in RECIPES:
        raise UserError(f"no label recipe is called {name!r}{did_you_mean(name, RECIPES)}")
    return RECIPES[name]


def open_study(settings: dict[str, Any], folder: Path, flat: bool, dataset: Any = None) -> Any:
    """The study that settings describe.

    Args:
      dataset: the data set of the settings, if it is open already.

    Raises:
      UserError: a setting does not fit the others or the data.
    """
    from compare_gan.core.registry import EXTRACTORS
    from compare_gan.data import Reading
    from compare_gan.evaluation.evaluate import EvalSettings
    from compare_gan.features import open_extractor
    from compare_gan.fewlabels import read_features
    from compare_gan.fewlabels.budget import PerClass
    from compare_gan.fewlabels.study import Study
    from compare_gan.train.loop import Schedule

    quick, steps = settings["quick"], settings["steps"]
    methods = tuple(LABEL_METHODS[name] for name in settings["methods"])
    schedule = Schedule(
        steps,
        log_every=max(1, steps // 30),
        sample_every=max(1, steps // 10),
        save_every=max(1, steps // 5),
    )
    inference = label_recipe(settings["label_recipe"])
    if dataset is None:
        dataset = open_data(settings["data"], Reading(**settings["reading"]))
    known = isinstance(settings["data"], str) and settings["data"] in EXTRACTORS
    extractor = settings["extractor"] or (settings["data"] if known else None)
    return Study(
        folder=folder,
        dataset=dataset,
        methods=methods,
        budgets=(*settings["fractions"], *map(PerClass, settings["per_class"])),
        seeds=tuple(settings["seeds"]),
        configured=networks(settings["gin_config"], settings["gin_bindings"], settings["methods"]),
        recipe=dataclasses.replace(inference, **(QUICK if quick else {}) | settings["inference"]),
        schedule=schedule,
        evaluation=EvalSettings(images=500 if quick else 5000),
        extractor=open_extractor(extractor) if extractor else None,
        settings=settings,
        features=read_features(Path(settings["features"]), dataset) if settings["features"] else None,
        label_file=Path(settings["label_file"]) if settings["label_file"] else None,
        flat=flat,
    )


def study_folder(base: Path, settings: dict[str, Any], varying: tuple[str, ...] = GROWING) -> Path:
    """`base`, or beside it a folder named after the settings if `base` holds runs with others.

    Settings that an older version did not write are not compared.

    Args:
      base: what the user asked for.
      settings: what the user chose.
      varying: settings in which runs of one folder may differ.
    """
    from compare_gan.core.files import read_json
    from compare_gan.data import Reading
    from compare_gan.data.source import resolved

    if not (base / SETTINGS).exists():
        return base
    fixed = {name: value for name, value in settings.items() if name not in (*varying, "left_out", "command")}
    before = read_json(base / SETTINGS)
    if "data" in before:
        before["data"] = resolved(before["data"])
    if "reading" in before:
        before["reading"] = dataclasses.asdict(Reading()) | before["reading"]
    differing = [name for name, value in fixed.items() if name in before and before[name] != value]
    if not differing:
        return base
    digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:8]
    folder = base.with_name(f"{base.name}-{digest}")
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
    fractions, per_class, seeds = (settings[name] or None for name in GROWING[1:])
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


def joined(command: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Settings of all that a folder holds, once `new` is added to `old`."""
    both = {name: list(dict.fromkeys([*old[name], *new[name]])) for name in GROWING}
    return new | both | {"command": command_line(command, new | both)}


def carry_out(command: str, study: Any, workers: int = 1, reopen: Any = None) -> int:
    """Does what is not done yet; writes and prints what all came to. Returns the exit code."""
    from compare_gan.core.files import read_json, run_folder, write_json
    from compare_gan.fewlabels.results import last_summary, summarise, table
    from compare_gan.fewlabels.run import run_study
    from compare_gan.fewlabels.tasks import all_done
    from compare_gan.report.page import write_report

    report, there = study.folder / "report.html", study.folder / SETTINGS
    settings = joined(command, read_json(there) if there.exists() else study.settings, study.settings)
    failed = []
    summary = last_summary(study.folder)
    if summary is not None and all_done(study) and report.exists():
        print(f"{study.folder}: all done already")
    else:
        write_json(run_folder(study.folder) / SETTINGS, settings)
        failed = run_study(study, workers, reopen)
        summary = summarise(study)
        write_report(study.folder, report)
    print(table(summary))
    for outcome in failed:
        print(f"failed: {outcome.task.name}: {outcome.error}")
    print(f"report: {report}")
    return 1 if failed else 0

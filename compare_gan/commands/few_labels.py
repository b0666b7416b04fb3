"""Labels from few, and GANs trained on them."""

import argparse
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from compare_gan import __version__
from compare_gan.commands.shared import Parser, add_reading, declare, open_data, reading

METHOD_LABELS: dict[str, Any] = {"all_labels": "true", "s3gan": "inferred", "no_labels": "none"}


def add(commands) -> None:
    made = declare(
        commands,
        few_labels,
        "few-labels",
        "Infer labels from few, train GANs on them, score them and write a report.",
        "--data my_images/ --model_dir runs/mine",
    )
    made.add_argument("--data", required=True, help="digits, a folder of class folders, .parquet, .npz")
    made.add_argument("--model_dir", required=True, help="where everything is written")
    add_reading(made)
    made.add_argument(
        "--methods", nargs="+", choices=list(METHOD_LABELS), default=["s3gan"], help="GANs to train"
    )
    made.add_argument("--extractor", help="measure with this classifier; default: the pre-trained encoder")
    made.add_argument(
        "--gin_bindings", action="append", default=[], help="added to every GAN's configuration"
    )
    add_study(made)


def add_study(made: Parser) -> None:
    made.add_argument("--label_fraction", type=float, default=0.1, help="labels that are kept, in (0, 1]")
    made.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")
    made.add_argument("--steps", type=int, help="generator updates of each GAN")
    made.add_argument("--quick", action="store_true", help="every stage shrunken, for a first look")


def few_labels(arguments: argparse.Namespace) -> None:
    if arguments.quick:  # read when JAX starts: programs that run for seconds are compiled in seconds
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

    from compare_gan.config.edge import parse
    from compare_gan.config.recipes import recipe
    from compare_gan.core.files import read_json
    from compare_gan.evaluation.evaluate import EvalSettings
    from compare_gan.features import open_extractor
    from compare_gan.fewlabels.recipe import LabelRecipe
    from compare_gan.fewlabels.study import SUMMARY, Method, Study, run_study
    from compare_gan.report.page import write_report
    from compare_gan.train.loop import Schedule

    quick = arguments.quick
    steps = (40 if quick else 1500) if arguments.steps is None else arguments.steps
    how = reading(arguments)
    settings = {
        "data": arguments.data,
        "reading": dataclasses.asdict(how),
        "label_fraction": arguments.label_fraction,
        "methods": arguments.methods,
        "seed": arguments.seed,
        "steps": steps,
        "quick": quick,
        "extractor": arguments.extractor,
        "gin_bindings": arguments.gin_bindings,
        "compare_gan": __version__,
    }
    settings["command"] = command_line(settings)
    dataset = open_data(arguments.data, how)
    methods = []
    for name in arguments.methods:
        parsed = parse([recipe(f"small_{name}")], arguments.gin_bindings)
        methods.append(Method(name, METHOD_LABELS[name], parsed.gan, parsed.operative_config))
    study = Study(
        dataset=dataset,
        methods=tuple(methods),
        label_fraction=arguments.label_fraction,
        seed=arguments.seed,
        recipe=LabelRecipe(pretrain_steps=20, classify_steps=20) if quick else LabelRecipe(),
        schedule=Schedule(
            steps,
            log_every=max(1, steps // 30),
            sample_every=max(1, steps // 10),
            save_every=max(1, steps // 5),
        ),
        evaluation=EvalSettings(images=500 if quick else 5000),
        extractor=open_extractor(arguments.extractor) if arguments.extractor else None,
        settings=settings,
    )
    folder = study_folder(Path(arguments.model_dir), settings)
    report = folder / "report.html"
    if (folder / SUMMARY).exists() and report.exists():
        print(f"{folder}: all done already; another --seed or setting starts a folder of its own")
        summary = read_json(folder / SUMMARY)
    else:
        summary = run_study(study, folder)
        write_report(folder, report)
    print(table(summary))
    print(f"report: {report}")


def command_line(settings: dict[str, Any]) -> list[str]:
    """The command that does the same study again."""
    words = ["compare-gan", "few-labels", "--model_dir", "runs/again"]
    how = settings["reading"]
    given = {name: settings[name] for name in ("data", "label_fraction", "seed", "steps", "extractor")}
    given |= {"image_size": how["image_size"], "resize": how["resize"], "tfds_data_dir": how["data_dir"]}
    given |= {} if how["broken"] == "fail" else {"broken": how["broken"]}
    for name, value in given.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    for line in settings["gin_bindings"]:
        words += ["--gin_bindings", line]
    return [*words, *(["--quick"] if settings["quick"] else []), "--methods", *settings["methods"]]


def study_folder(base: Path, settings: dict[str, Any]) -> Path:
    """`base`, or beside it a folder named after the settings if `base` holds a study with others."""
    from compare_gan.core.files import read_json
    from compare_gan.fewlabels.study import SETTINGS

    if not (base / SETTINGS).exists() or read_json(base / SETTINGS) == settings:
        return base
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    folder = base.with_name(f"{base.name}-{digest}")
    print(f"{base} holds a run with other settings; this one goes to {folder}")
    return folder


def table(summary: dict[str, Any]) -> str:
    """The scores of a study, for a terminal."""
    line = "{:<12} {:>17} {:>16} {:>7} {:>8}".format
    lines = [line("method", "Frechet distance", "class agreement", "steps", "seconds")]
    for name, row in summary["methods"].items():
        distance, agreement = f"{row['frechet_distance']:.3f}", row["class_agreement"]
        shown = "-" if agreement is None else f"{agreement:.1%}"
        lines.append(line(name, distance, shown, row["steps"], round(row["seconds"])))
    lines.append(
        f"labels: {summary['labels_kept']} of {summary['train_images']} kept; "
        f"{summary['label_accuracy']:.1%} of the inferred ones are right"
    )
    return "\n".join(lines)

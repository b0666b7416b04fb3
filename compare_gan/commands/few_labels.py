"""Labels from few, and GANs trained on them."""

import argparse
from pathlib import Path
from typing import Any

from compare_gan.commands.shared import Parser, declare
from compare_gan.commands.studies import (
    add_data,
    add_inference,
    add_methods,
    add_training,
    carry_out,
    compile_quickly,
    open_labels,
    open_study,
    plan_lines,
    settings_of,
    study_folder,
)


def add(commands) -> None:
    made = declare(
        commands,
        few_labels,
        "few-labels",
        "Infer labels from few, train GANs on them, score them and write a report.",
        "--data my_images/ --labels few.csv --model_dir runs/mine",
    )
    add_data(made)
    add_methods(made, ["s3gan"])
    add_labels(made)
    made.add_argument("--label_file", help="label file in place of inferred labels")
    add_inference(made)
    add_training(made)
    made.add_argument(
        "--verify_no_leak",
        nargs="?",
        const="stages",
        choices=("stages", "gans"),
        help="repeat the label stages, or with gans also the first steps of each GAN, with hidden labels "
        "permuted and deleted, and compare all bytes",
    )


def add_labels(made: Parser) -> None:
    kept = made.add_mutually_exclusive_group()
    kept.add_argument(
        "--label_fraction",
        type=float,
        help="share of the labels to use, in (0, 1]; the others are hidden, to measure with; default: all "
        "where images without a label are there, 0.1 where every image has one",
    )
    kept.add_argument("--labels_per_class", type=int, help="labels of each class that are kept")
    made.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")


def few_labels(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        compile_quickly()
    from compare_gan.core.files import run_folder
    from compare_gan.fewlabels.leak import refuse_unverifiable
    from compare_gan.fewlabels.overview import overview, usable_methods

    dataset = open_labels(arguments)
    there = overview(dataset)
    arguments.methods, left_out = usable_methods(arguments.methods, there)
    per_class = [] if arguments.labels_per_class is None else [arguments.labels_per_class]
    fractions = [] if per_class else [there.fraction(arguments.label_fraction)]
    settings = settings_of(arguments, dataset, fractions, per_class, [arguments.seed], left_out)
    folder = study_folder(Path(arguments.model_dir), settings, varying=("methods",))
    study = open_study(settings, folder, flat=True, dataset=dataset)
    if arguments.verify_no_leak is not None:
        refuse_unverifiable(study, gans=arguments.verify_no_leak == "gans")
    run_folder(folder)
    given = arguments.label_fraction is not None or bool(per_class)
    print("\n".join([*plan_lines(study, given), *left_out]))
    code = carry_out("few-labels", study)
    if code or arguments.verify_no_leak is None:
        return code
    return verify_no_leak(study, gans=arguments.verify_no_leak == "gans")


def verify_no_leak(study: Any, gans: bool) -> int:
    """Reports in one line whether hidden labels made a difference; returns the exit code."""
    from compare_gan.fewlabels.leak import verify

    verdict = verify(study, gans)
    print(verdict.text)
    return 0 if verdict.proven else 1

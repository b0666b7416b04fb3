"""Infer labels from a few, and train GANs on them."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from compare_gan.commands.shared import Parser, declare
from compare_gan.commands.studies import (
    add_data,
    add_inference,
    add_methods,
    add_training,
    data_fields,
    option_fields,
    plan_lines,
    read_inputs,
    reduce_compile_time,
    run_and_report,
    study_folder,
)

if TYPE_CHECKING:
    from compare_gan.studies import StudyRequest


def add(commands) -> None:
    parser = declare(
        commands,
        few_labels,
        "few-labels",
        "Infer labels from a few, train GANs on them, score them and write a report.",
        "--data my_images/ --labels few.csv --model_dir runs/mine",
    )
    add_data(parser)
    add_methods(parser, ["s3gan"])
    add_labels(parser)
    parser.add_argument("--label_file", help="label file to use instead of inferring labels")
    add_inference(parser)
    add_training(parser)
    parser.add_argument(
        "--verify_no_leak",
        nargs="?",
        const="stages",
        choices=("stages", "gans"),
        help="repeat the label stages, or with gans also the first steps of each GAN, with hidden labels "
        "permuted and deleted, and compare all output bytes",
    )


def add_labels(parser: Parser) -> None:
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument(
        "--label_fraction",
        type=float,
        help="fraction of the labels to use, in (0, 1]; the rest is hidden and used for evaluation; "
        "default: all "
        "if some images are unlabelled, 0.1 if every image has a label",
    )
    kept.add_argument("--labels_per_class", type=int, help="number of labels to use per class")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers")


def few_labels(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        reduce_compile_time()
    request = request_of(arguments, **data_fields(arguments), label_file=arguments.label_file)
    return run_few_labels(request, Path(arguments.model_dir), arguments.verify_no_leak)


def request_of(arguments: argparse.Namespace, **fields: Any) -> "StudyRequest":
    """A request from the options of `add_labels`, `add_inference` and `add_training`, and from `fields`."""
    from compare_gan.studies import StudyRequest

    return StudyRequest(
        fractions=() if arguments.label_fraction is None else (arguments.label_fraction,),
        per_class=() if arguments.labels_per_class is None else (arguments.labels_per_class,),
        seeds=(arguments.seed,),
        **fields,
        **option_fields(arguments),
    )


def run_few_labels(
    request: "StudyRequest", model_dir: Path, verify: Literal["stages", "gans"] | None = None
) -> int:
    """Runs a study of one seed and one label budget in a single folder. Returns the exit code.

    Args:
      request: without a label budget, the data determines the default.
      model_dir: the folder; a sibling folder is used if it contains runs with different settings.
      verify: stages to check for leaks of hidden labels.

    Raises:
      UserError: the request is invalid.
    """
    from compare_gan.core.files import run_folder
    from compare_gan.fewlabels.leak import refuse_unverifiable
    from compare_gan.fewlabels.overview import overview, usable_methods
    from compare_gan.studies import open_study, settings_of

    dataset, configured = read_inputs(request, model_dir)
    data = overview(dataset)
    methods, left_out = usable_methods(request.methods, data)
    budget_given = bool(request.fractions or request.per_class)
    request = dataclasses.replace(
        request,
        methods=tuple(methods),
        fractions=request.fractions if budget_given else (data.fraction(None),),
    )
    settings = settings_of(request, dataset, left_out)
    folder = study_folder(model_dir, settings, varying=("methods",))
    study = open_study(settings, folder, True, dataset, configured)
    if verify is not None:
        refuse_unverifiable(study, gans=verify == "gans")
    run_folder(folder)
    print("\n".join([*plan_lines(study, budget_given), *left_out]))
    code = run_and_report("few-labels", study)
    if code or verify is None:
        return code
    return verify_no_leak(study, gans=verify == "gans")


def verify_no_leak(study: Any, gans: bool) -> int:
    """Prints whether hidden labels changed any output. Returns the exit code."""
    from compare_gan.fewlabels.leak import verify

    verdict = verify(study, gans)
    print(verdict.message)
    return 0 if verdict.proven else 1

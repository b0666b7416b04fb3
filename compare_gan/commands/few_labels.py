"""Labels from few, and GANs trained on them."""

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
    carry_out,
    compile_quickly,
    given_data,
    given_options,
    plan_lines,
    read_inputs,
    study_folder,
)

if TYPE_CHECKING:
    from compare_gan.studies import StudyRequest


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
    request = request_of(arguments, **given_data(arguments), label_file=arguments.label_file)
    return run_few_labels(request, Path(arguments.model_dir), arguments.verify_no_leak)


def request_of(arguments: argparse.Namespace, **given: Any) -> "StudyRequest":
    """A request with the options of `add_labels`, `add_inference` and `add_training`, and with `given`."""
    from compare_gan.studies import StudyRequest

    return StudyRequest(
        fractions=() if arguments.label_fraction is None else (arguments.label_fraction,),
        per_class=() if arguments.labels_per_class is None else (arguments.labels_per_class,),
        seeds=(arguments.seed,),
        **given,
        **given_options(arguments),
    )


def run_few_labels(
    request: "StudyRequest", model_dir: Path, verify: Literal["stages", "gans"] | None = None
) -> int:
    """Does a study of one seed and one label budget, with everything in one folder. Returns the exit code.

    Args:
      request: where it has no label budget, the data decides.
      model_dir: the folder; another beside it if it holds runs with other settings.
      verify: what to check for leaks of hidden labels.

    Raises:
      UserError: something in the request does not fit.
    """
    from compare_gan.core.files import run_folder
    from compare_gan.fewlabels.leak import refuse_unverifiable
    from compare_gan.fewlabels.overview import overview, usable_methods
    from compare_gan.studies import open_study, settings_of

    dataset, configured = read_inputs(request, model_dir)
    there = overview(dataset)
    methods, left_out = usable_methods(request.methods, there)
    budget_given = bool(request.fractions or request.per_class)
    request = dataclasses.replace(
        request,
        methods=tuple(methods),
        fractions=request.fractions if budget_given else (there.fraction(None),),
    )
    settings = settings_of(request, dataset, left_out)
    folder = study_folder(model_dir, settings, varying=("methods",))
    study = open_study(settings, folder, True, dataset, configured)
    if verify is not None:
        refuse_unverifiable(study, gans=verify == "gans")
    run_folder(folder)
    print("\n".join([*plan_lines(study, budget_given), *left_out]))
    code = carry_out("few-labels", study)
    if code or verify is None:
        return code
    return verify_no_leak(study, gans=verify == "gans")


def verify_no_leak(study: Any, gans: bool) -> int:
    """Reports in one line whether hidden labels made a difference; returns the exit code."""
    from compare_gan.fewlabels.leak import verify

    verdict = verify(study, gans)
    print(verdict.message)
    return 0 if verdict.proven else 1

"""Methods x label budgets x seeds on one data set."""

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from compare_gan.commands.shared import declare
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
from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS

if TYPE_CHECKING:
    from compare_gan.studies import StudyRequest

FRACTIONS = (0.05, 0.1, 0.2)  # of the labels of a fully labelled data set


def add(commands) -> None:
    made = declare(
        commands,
        study,
        "study",
        "Train and score methods at several label fractions and seeds; they share what they can, and what is "
        "done already is not done again.",
        "--data digits --methods all_labels s3gan ssgan --fractions 0.05 0.1 0.2 --seeds 0 1 2 "
        "--model_dir runs/study",
    )
    add_data(made)
    add_methods(made, list(LABEL_METHODS))
    kept = made.add_mutually_exclusive_group()
    kept.add_argument(
        "--fractions",
        nargs="+",
        type=float,
        help="shares of the labels to use, in (0, 1]; default: 1 where images without a label are there, "
        "0.05 0.1 0.2 where every image has one",
    )
    kept.add_argument("--labels_per_class", nargs="+", type=int, help="labels of each class that are kept")
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of all that is random")
    add_inference(made)
    add_training(made)
    made.add_argument("--workers", type=int, default=1, help="processes that share the work, on a CPU")
    made.add_argument("--plan", action="store_true", help="say what is to do and how long it takes, no more")


def study(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        compile_quickly()
    from compare_gan.studies import StudyRequest

    request = StudyRequest(
        fractions=tuple(arguments.fractions or ()),
        per_class=tuple(arguments.labels_per_class or ()),
        seeds=tuple(arguments.seeds),
        **given_data(arguments),
        **given_options(arguments),
    )
    return run_study(request, Path(arguments.model_dir), arguments.workers, arguments.plan)


def run_study(request: "StudyRequest", model_dir: Path, workers: int = 1, plan_only: bool = False) -> int:
    """Does a study, or says what is to do. Returns the exit code.

    Args:
      request: where it has no label budgets, the data decides.
      model_dir: the folder; another beside it if it holds runs with other settings.
      workers: processes that share the work.
      plan_only: print the plan and do nothing.

    Raises:
      UserError: something in the request does not fit.
    """
    from compare_gan.core.files import run_folder
    from compare_gan.fewlabels.overview import overview, usable_methods
    from compare_gan.fewlabels.plan import estimate_times, outline, plan_table
    from compare_gan.studies import open_study, settings_of

    if workers < 1:
        raise UserError(f"workers is {workers}; it must be at least 1")
    dataset, configured = read_inputs(request, model_dir)
    there = overview(dataset)
    methods, left_out = usable_methods(request.methods, there)
    budget_given = bool(request.fractions or request.per_class)
    default = (1.0,) if there.partly_labelled else FRACTIONS
    request = dataclasses.replace(
        request, methods=tuple(methods), fractions=request.fractions if budget_given else default
    )
    settings = settings_of(request, dataset, left_out)
    folder = study_folder(model_dir, settings)
    opened = open_study(settings, folder, False, dataset, configured)
    if not plan_only:
        run_folder(folder)
    print("\n".join([*plan_lines(opened, budget_given), *left_out]))
    if entries := outline(opened):
        print(plan_table(entries, 1))
        if (known := estimate_times(opened, entries)) != entries:
            print(plan_table(known, workers))
    if not plan_only:
        reopen = functools.partial(open_study, settings, folder, False)
        return carry_out("study", opened, workers, reopen)
    if not entries:
        print(f"{folder}: all done already")
    return 0

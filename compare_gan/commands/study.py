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
    data_fields,
    option_fields,
    plan_lines,
    read_inputs,
    reduce_compile_time,
    run_and_report,
    study_folder,
)
from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS

if TYPE_CHECKING:
    from compare_gan.studies import StudyRequest

FRACTIONS = (0.05, 0.1, 0.2)  # of the labels of a fully labelled data set


def add(commands) -> None:
    parser = declare(
        commands,
        study,
        "study",
        "Train and score methods at several label fractions and seeds. Stages are shared, and completed "
        "stages "
        "are not repeated.",
        "--data digits --methods all_labels s3gan ssgan --fractions 0.05 0.1 0.2 --seeds 0 1 2 "
        "--model_dir runs/study",
    )
    add_data(parser)
    add_methods(parser, list(LABEL_METHODS))
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument(
        "--fractions",
        nargs="+",
        type=float,
        help="fractions of the labels to use, in (0, 1]; default: 1 if some images are unlabelled, "
        "0.05 0.1 0.2 if every image has a label",
    )
    kept.add_argument("--labels_per_class", nargs="+", type=int, help="numbers of labels to use per class")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="random seeds")
    add_inference(parser)
    add_training(parser)
    parser.add_argument("--workers", type=int, default=1, help="number of parallel processes, on a CPU")
    parser.add_argument("--plan", action="store_true", help="print the plan and its duration, then exit")


def study(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        reduce_compile_time()
    from compare_gan.studies import StudyRequest

    request = StudyRequest(
        fractions=tuple(arguments.fractions or ()),
        per_class=tuple(arguments.labels_per_class or ()),
        seeds=tuple(arguments.seeds),
        **data_fields(arguments),
        **option_fields(arguments),
    )
    return run_study(request, Path(arguments.model_dir), arguments.workers, arguments.plan)


def run_study(request: "StudyRequest", model_dir: Path, workers: int = 1, plan_only: bool = False) -> int:
    """Runs a study, or prints its plan. Returns the exit code.

    Args:
      request: without label budgets, the data determines the default.
      model_dir: the folder; a sibling folder is used if it contains runs with different settings.
      workers: number of parallel processes.
      plan_only: print the plan and run nothing.

    Raises:
      UserError: the request is invalid.
    """
    from compare_gan.core.files import run_folder
    from compare_gan.fewlabels.overview import overview, usable_methods
    from compare_gan.fewlabels.plan import estimate_times, outline, plan_table
    from compare_gan.studies import open_study, settings_of

    if workers < 1:
        raise UserError(f"workers is {workers}; it must be at least 1")
    dataset, configured = read_inputs(request, model_dir)
    data = overview(dataset)
    methods, left_out = usable_methods(request.methods, data)
    budget_given = bool(request.fractions or request.per_class)
    default = (1.0,) if data.partly_labelled else FRACTIONS
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
        return run_and_report("study", opened, workers, reopen)
    if not entries:
        print(f"{folder}: all done already")
    return 0

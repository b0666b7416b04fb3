"""Methods x label budgets x seeds on one data set."""

import argparse
import functools
from pathlib import Path

from compare_gan.commands.shared import declare
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
from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS

FRACTIONS = [0.05, 0.1, 0.2]  # of the labels of a fully labelled data set


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
    from compare_gan.core.files import run_folder
    from compare_gan.fewlabels.overview import overview, usable_methods
    from compare_gan.fewlabels.plan import outline, text, timed

    if arguments.workers < 1:
        raise UserError(f"workers is {arguments.workers}; it must be at least 1")
    arguments.label_file = None
    dataset = open_labels(arguments)
    there = overview(dataset)
    arguments.methods, left_out = usable_methods(arguments.methods, there)
    per_class = arguments.labels_per_class or []
    fractions = arguments.fractions or ([1.0] if there.partly else FRACTIONS)
    settings = settings_of(
        arguments, dataset, [] if per_class else fractions, per_class, arguments.seeds, left_out
    )
    folder = study_folder(Path(arguments.model_dir), settings)
    reopen = functools.partial(open_study, settings, folder, False)
    whole = open_study(settings, folder, False, dataset)
    if not arguments.plan:
        run_folder(folder)
    given = arguments.fractions is not None or bool(per_class)
    print("\n".join([*plan_lines(whole, given), *left_out]))
    if entries := outline(whole):
        print(text(entries, 1))
        if (known := timed(whole, entries)) != entries:
            print(text(known, arguments.workers))
    if not arguments.plan:
        return carry_out("study", whole, arguments.workers, reopen)
    if not entries:
        print(f"{folder}: all done already")
    return 0

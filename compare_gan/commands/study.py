"""Methods x label budgets x seeds on one data set."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import declare
from compare_gan.commands.studies import (
    add_data,
    add_inference,
    add_methods,
    add_plan,
    add_training,
    carry_out,
    data_fields,
    option_fields,
    reduce_compile_time,
)
from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS


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
    parser.add_argument(
        "--label_sets",
        nargs="+",
        type=int,
        default=[],
        help="seeds of label sets, each of which is combined with each of --seeds; default: each seed has "
        "its own label set",
    )
    add_inference(parser)
    add_training(parser)
    parser.add_argument("--workers", type=int, default=1, help="number of parallel processes, on a CPU")
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="scheduler of dask.distributed, such as tcp://HOST:8786, whose workers do the tasks; "
        "see docs/scale.md",
    )
    instead = parser.add_mutually_exclusive_group()
    add_plan(instead)
    instead.add_argument(
        "--array",
        action="store_true",
        help="print the number of each task, and the ranges of each stage for sbatch --array, then exit",
    )
    instead.add_argument(
        "--task", type=int, metavar="NUMBER", help="do only the task with a number of --array"
    )


def study(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        reduce_compile_time()
    from compare_gan.fewlabels.job_array import list_tasks, run_one
    from compare_gan.studies import StudyRequest, prepare

    request = StudyRequest(
        fractions=tuple(arguments.fractions or ()),
        per_class=tuple(arguments.labels_per_class or ()),
        seeds=tuple(arguments.seeds),
        label_sets=tuple(arguments.label_sets),
        **data_fields(arguments),
        **option_fields(arguments),
    )
    model_dir = Path(arguments.model_dir)
    if arguments.array or arguments.task is not None:
        if arguments.dask is not None or arguments.workers != 1:
            raise UserError(
                "--array and --task need neither --dask nor --workers: each task is a job of its own"
            )
        prepared = prepare(request, model_dir)
        print("\n".join(prepared.lines), flush=True)
        if arguments.array:
            list_tasks(prepared.study)
            return 0
        return 0 if run_one(prepared.study, arguments.task).error is None else 1
    return carry_out(
        request, model_dir, workers=arguments.workers, dask=arguments.dask, plan_only=arguments.plan
    )

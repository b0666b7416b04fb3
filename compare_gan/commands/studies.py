"""Shared by `few-labels`, `study` and `demo`: their arguments and the request that these describe."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from compare_gan.commands.shared import (
    Parser,
    add_labels_file,
    add_reading,
    add_sources,
    one_or_several,
    reading,
)
from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS, PARTS, method

if TYPE_CHECKING:
    from compare_gan.studies import StudyRequest


def add_data(parser: Parser) -> None:
    """Adds the arguments for the images and labels of a study."""
    add_sources(parser)
    parser.add_argument("--model_dir", required=True, help="output folder")
    add_labels_file(parser)
    add_reading(parser)


def add_methods(parser: Parser, default: list[str]) -> None:
    parser.add_argument(
        "--methods",
        "--method",
        nargs="+",
        type=method_name,
        metavar="METHOD",
        default=default,
        help=f"GANs to train: {', '.join(LABEL_METHODS)}; add parts with +, as in s3gan+diffaugment: "
        f"{', '.join(PARTS)}",
    )


def method_name(text: str) -> str:
    """The name of a method, for argparse."""
    try:
        return method(text).name
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_training(parser: Parser) -> None:
    parser.add_argument(
        "--steps", type=int, help="generator updates of each GAN; default: fits the images and the device"
    )
    parser.add_argument("--quick", action="store_true", help="shorten every stage, for a quick test")
    parser.add_argument(
        "--gin_config",
        help="configuration of networks and training, for every GAN; default: the packaged one that fits the "
        "images",
    )
    parser.add_argument(
        "--gin_bindings", action="append", default=[], help="bindings added to the configuration of every GAN"
    )
    parser.add_argument(
        "--extractor",
        help="feature extractor for scores; default: one made for the data set; or Inception for "
        "photographs, if its weights are there, on a GPU; or the pre-trained encoder",
    )


def add_inference(parser: Parser) -> None:
    parser.add_argument(
        "--label_recipe",
        help="how labels are inferred: digits (8x8, takes seconds), grey (28x28), fashion (28x28, takes a "
        "minute), photos, photos64 or photos128 (by pixels a side, on a CPU), photos_gpu, photos64_gpu or "
        "photos128_gpu, paper (rotation and S4L only), or grey_fixmatch or photos_fixmatch (FixMatch); "
        "default: the one that fits the images",
    )
    parser.add_argument(
        "--classifier",
        choices=["s4l", "fixmatch", "linear"],
        help="classifier that infers labels; default: that of the recipe, or linear with --features",
    )
    parser.add_argument("--pretraining", help="objective of the encoder without labels: rotation or vicreg")
    parser.add_argument(
        "--features", help="file with features of all images, replacing those of the pre-trained encoder"
    )
    parser.add_argument(
        "--encoder",
        help="small, halved, wide28 or resnet50; this and the following options override the recipe",
    )
    parser.add_argument("--encoder_width", type=int, help="channels of the first layer of the encoder")
    parser.add_argument(
        "--encoder_precision",
        choices=["float32", "bfloat16"],
        help="of the convolutions in training; bfloat16 is faster on GPUs and processors with AMX",
    )
    parser.add_argument("--pretrain_steps", type=int, help="pre-training steps of the encoder")
    parser.add_argument("--classify_steps", type=int, help="training steps of the classifier")
    parser.add_argument(
        "--balanced",
        action="store_const",
        const=True,
        help="train the classifier on labelled images of each class equally often, for uneven label files",
    )
    parser.add_argument("--clusters", type=int, help="number of clusters, for the method clustering")
    parser.add_argument(
        "--confidence",
        type=float,
        help="minimum confidence of an inferred label; images below it stay unlabelled",
    )


def data_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `StudyRequest` that `add_data` and `add_methods` set."""
    return {
        "data": one_or_several(arguments.data),
        "reading": reading(arguments, labels=arguments.labels),
        "methods": tuple(arguments.methods),
    }


def option_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `StudyRequest` that `add_inference` and `add_training` set."""
    from compare_gan.fewlabels.settings import RECIPE_OPTIONS

    inference = {field: getattr(arguments, option) for option, field in RECIPE_OPTIONS.items()}
    names = ("label_recipe", "features", "steps", "quick", "gin_config", "extractor")
    return {name: getattr(arguments, name) for name in names} | {
        "inference": {field: value for field, value in inference.items() if value is not None},
        "gin_bindings": tuple(arguments.gin_bindings),
    }


def reduce_compile_time() -> None:
    """Lowers the XLA optimization level, for short runs. Must run before JAX starts."""
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"


def add_plan(parser: Any) -> None:
    parser.add_argument("--plan", action="store_true", help="print the plan and its duration, then exit")


def carry_out(
    request: "StudyRequest",
    model_dir: Path,
    *,
    flat: bool = False,
    workers: int = 1,
    dask: str | None = None,
    plan_only: bool = False,
    verify: Literal["stages", "gans"] | None = None,
) -> int:
    """Runs a study, or prints its plan. Returns the exit code.

    Args:
      request: what to run.
      model_dir: the folder; a sibling folder is used if it contains runs with different settings.
      flat: one seed and one label budget, with all files in one folder.
      workers: number of parallel processes.
      dask: address of a scheduler whose workers do the tasks.
      plan_only: print the plan and run nothing.
      verify: stages to check for leaks of hidden labels.

    Raises:
      UserError: the request is invalid.
    """
    from compare_gan.core.files import run_folder
    from compare_gan.fewlabels.leak import refuse_unverifiable
    from compare_gan.fewlabels.leak import verify as verify_no_leak
    from compare_gan.fewlabels.tasks import all_done
    from compare_gan.studies import connected, prepare, run, show_plan

    with connected(dask, workers) as cluster:
        prepared = prepare(request, model_dir, flat=flat, workers=workers, cluster=cluster)
        if verify is not None:
            refuse_unverifiable(prepared.study, gans=verify == "gans")
        if not plan_only:
            run_folder(prepared.study.folder)
        show_plan(prepared)
        if plan_only:
            if all_done(prepared.study):
                print(f"{prepared.study.folder}: all done already")
            return 0
        if run(prepared).failed:
            return 1
    if verify is None:
        return 0
    verdict = verify_no_leak(prepared.study, verify == "gans")
    print(verdict.message)
    return 0 if verdict.proven else 1

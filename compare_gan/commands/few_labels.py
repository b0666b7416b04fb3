"""Infer labels from a few, and train GANs on them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare_gan.commands.shared import Parser, declare
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
    add_plan(parser)
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
    return carry_out(
        request,
        Path(arguments.model_dir),
        flat=True,
        plan_only=arguments.plan,
        verify=arguments.verify_no_leak,
    )


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

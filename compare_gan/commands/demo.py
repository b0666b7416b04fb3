"""The full few-labels pipeline on packaged images."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from compare_gan.commands.few_labels import add_labels, request_of
from compare_gan.commands.shared import declare
from compare_gan.commands.studies import add_inference, add_training, carry_out, reduce_compile_time

if TYPE_CHECKING:
    from compare_gan.studies import StudyRequest

METHODS = ("all_labels", "s3gan", "ssgan", "no_labels")
QUICK_METHODS = ("all_labels", "s3gan", "no_labels")
# All stages together are sized for five minutes on two CPU cores; for the same images a study chooses wider
# networks, larger batches and more steps.
STEPS = 1600
LABEL_RECIPE = "fashion"


def add(commands) -> None:
    parser = declare(
        commands,
        demo,
        "demo",
        "Run the full few-labels pipeline on a part of Fashion-MNIST, with a report; with --quick on "
        "scikit-learn's digits, every stage shortened.",
        "--quick",
    )
    parser.add_argument("--model_dir", default="runs/demo", help="output folder")
    add_labels(parser)
    add_inference(parser)
    add_training(parser)


def demo(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        reduce_compile_time()
        request = request_of(arguments, data="digits", methods=QUICK_METHODS)
    else:
        request = shortened(request_of(arguments, data="fashion", methods=METHODS))
    return carry_out(request, Path(arguments.model_dir), flat=True)


def shortened(request: "StudyRequest") -> "StudyRequest":
    """The request with the demo's choices for what it leaves open."""
    steps = STEPS if request.steps is None else request.steps
    request = dataclasses.replace(request, steps=steps, label_recipe=request.label_recipe or LABEL_RECIPE)
    if request.gin_config is not None:
        return request
    return dataclasses.replace(request, gin_bindings=(*training(steps), *request.gin_bindings))


def training(steps: int) -> tuple[str, ...]:
    """Bindings that make small.gin learn fast: narrow networks, many small batches, a rate that decays."""
    return (
        "resnet_small.Generator.ch = 16",
        "resnet_small.Discriminator.ch = 16",
        "options.batch_size = 16",
        "ModularGAN.g_lr = 2e-3",
        "ModularGAN.d_lr = 2e-3",
        "ModularGAN.lr_schedule = @cosine_decay",
        f"cosine_decay.decay_steps = {max(1, steps)}",  # other numbers are refused as `steps`
    )

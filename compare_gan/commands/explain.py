"""Explain a configuration."""

import argparse

from compare_gan.commands.shared import declare
from compare_gan.core.errors import UserError


def add(commands) -> None:
    parser = declare(
        commands,
        explain,
        "explain",
        "Explain a gin configuration: its values, cost, unused bindings and errors. Nothing is trained.",
        "small.gin s3gan.gin --gin_bindings 'options.disc_iters = 2'",
    )
    parser.add_argument(
        "configs", nargs="+", help="configuration files, or names of packaged ones such as small.gin"
    )
    parser.add_argument("--gin_bindings", action="append", default=[], help="one binding; may be repeated")
    parser.add_argument(
        "--image_shape", nargs=3, type=int, metavar=("H", "W", "C"), help="default: that of dataset.name"
    )
    parser.add_argument("--num_classes", type=int, help="default: that of dataset.name")
    parser.add_argument(
        "--compile", action="store_true", help="compile a training step to report its full memory use"
    )


def explain(arguments: argparse.Namespace) -> None:
    from compare_gan.config.explain import explain as explain_configuration
    from compare_gan.config.show import text

    shape = tuple(arguments.image_shape) if arguments.image_shape else None
    explanation = explain_configuration(
        arguments.configs, arguments.gin_bindings, shape, arguments.num_classes, arguments.compile
    )
    print(text(explanation))
    if explanation.errors:
        raise UserError("this configuration cannot be trained; see the errors above")

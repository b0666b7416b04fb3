"""Export the networks of a run for use without the run and without this library."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import Parser, add_allow_imports, add_statistics_examples, declare

LATEST = "latest"


def add(commands) -> None:
    parser = declare(
        commands,
        export,
        "export",
        "Export a run's generator and discriminator as programs that need only JAX, with a model card.",
        "runs/demo/s3gan --out digits-s3gan",
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument("--out", help="output folder; default: export, in the run folder")
    add_choice(parser)


def add_choice(parser: Parser) -> None:
    """Adds the arguments that select the generator of a run."""
    parser.add_argument("--step", default=LATEST, help="checkpoint: latest, best, or a number")
    add_statistics_examples(parser)
    add_allow_imports(parser)


def export(arguments: argparse.Namespace) -> None:
    from compare_gan.core.run_files import EXPORT
    from compare_gan.export.write import validate_output_dir
    from compare_gan.runs import open_run

    run_dir = Path(arguments.run)
    out = validate_output_dir(Path(arguments.out) if arguments.out else run_dir / EXPORT)
    run = open_run(run_dir, allow_imports=arguments.allow_imports)
    metadata = run.export(out, step=arguments.step, statistics_examples=arguments.statistics_examples)
    print(f"step {metadata.step} of {run_dir}: {out}")

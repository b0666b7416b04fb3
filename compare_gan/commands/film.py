"""Make a film of the samples of a run over training."""

import argparse
from pathlib import Path

from compare_gan.commands.shared import add_overwrite, check_outputs, declare
from compare_gan.core.errors import UserError


def add(commands) -> None:
    parser = declare(
        commands,
        film,
        "film",
        "Make a film of the samples of a run: the same latent vectors at each step.",
        "runs/demo/s3gan --out film.webp",
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument("--out", required=True, help="an animated picture: .webp or .gif")
    parser.add_argument("--frame_seconds", type=float, default=0.4, help="seconds per step")
    add_overwrite(parser)


def film(arguments: argparse.Namespace) -> None:
    from compare_gan.report.film import check_format, write_film

    if not 0.02 <= arguments.frame_seconds <= 60:
        raise UserError(f"--frame_seconds is {arguments.frame_seconds:g}; it must be 0.02 to 60")
    out = Path(arguments.out)
    check_format(out)
    check_outputs(arguments, ["out"], [arguments.run])
    frames = write_film(Path(arguments.run), out, arguments.frame_seconds)
    print(f"film of {frames} steps: {out}")

"""Export the networks of a run for use without the run and without this library."""

import argparse
from pathlib import Path
from typing import Any

from compare_gan.commands.shared import (
    Parser,
    add_allow_imports,
    add_overwrite,
    add_statistics_examples,
    check_outputs,
    declare,
)
from compare_gan.core.errors import UserError

LATEST = "latest"
FILES = {"onnx": ".onnx", "page": ".html"}  # option -> suffix


def add(commands) -> None:
    parser = declare(
        commands,
        export,
        "export",
        "Export a run's generator and discriminator as programs that need only JAX, with a model card; or "
        "its generator as an ONNX file, or as a page that draws images in a browser.",
        "runs/demo/s3gan --out digits-s3gan",
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument(
        "--out",
        help="output folder of the programs; default: export, in the run folder, or no programs if --onnx or "
        "--page is given",
    )
    parser.add_argument("--onnx", metavar="FILE", help="output file of the generator: .onnx; needs jax2onnx")
    parser.add_argument(
        "--page",
        metavar="FILE",
        help="output file of a page that draws images without a network: .html; needs jax2onnx",
    )
    parser.add_argument(
        "--ort_web",
        metavar="PATH",
        help="folder or .tgz archive of the npm package onnxruntime-web, for --page; default: the archive or "
        "node_modules/onnxruntime-web in the current folder",
    )
    add_choice(parser)
    add_overwrite(parser)


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
    folder = arguments.out is not None or not (arguments.onnx or arguments.page)
    out = validate_output_dir(Path(arguments.out) if arguments.out else run_dir / EXPORT) if folder else None
    runtime = check_files(arguments)
    run = open_run(run_dir, allow_imports=arguments.allow_imports)
    if arguments.onnx or arguments.page:
        write_files(arguments, run, runtime)
    if out is not None:
        metadata = run.export(out, step=arguments.step, statistics_examples=arguments.statistics_examples)
        print(f"step {metadata.step} of {run_dir}: {out}")


def check_files(arguments: argparse.Namespace) -> Any:
    """Checks --onnx and --page before any work. Returns onnxruntime-web, or None if there is no page.

    Raises:
      UserError: a file cannot be written, or something that it needs is missing.
    """
    from compare_gan.export import ort_web
    from compare_gan.export.onnx_model import check_converter

    for option, suffix in FILES.items():
        if (path := getattr(arguments, option)) and Path(path).suffix.lower() != suffix:
            raise UserError(f"{path}: --{option} must end in {suffix}")
    if arguments.ort_web and not arguments.page:
        raise UserError("--ort_web is for --page; leave it out")
    check_outputs(arguments, tuple(FILES), [arguments.run, arguments.ort_web])
    if arguments.onnx or arguments.page:
        check_converter()
    if not arguments.page:
        return None
    return ort_web.read(ort_web.find(Path(arguments.ort_web) if arguments.ort_web else None))


def write_files(arguments: argparse.Namespace, run: Any, runtime: Any) -> None:
    """Writes the ONNX file and the page."""
    from compare_gan.core.files import atomic
    from compare_gan.export.page import check_page, page
    from compare_gan.gans.sampling import describe_prior

    if arguments.page:
        check_page(describe_prior(run.gan.prior))
    model = run.onnx_model(step=arguments.step, statistics_examples=arguments.statistics_examples)
    contents = {"onnx": model.content}
    if arguments.page:
        contents["page"] = page(model, runtime).encode()
    for option, content in contents.items():
        if path := getattr(arguments, option):
            with atomic(Path(path)) as file:
                file.write(content)
            print(f"step {model.metadata.step} of {run.run_dir}: {path}, {len(content) / 1e6:.1f} MB")
    if model.difference is None:
        print("images were not compared with ours: onnxruntime is not installed")
    else:
        print(f"images in onnxruntime differ from ours by at most {model.difference:.1e} in [0, 1]")

"""Explore the images of a generator in the browser."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from compare_gan.commands.export import add_choice
from compare_gan.commands.sample import sampler_from_export
from compare_gan.commands.shared import declare
from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError


def add(commands) -> None:
    parser = declare(
        commands,
        explore,
        "explore",
        "Open a local page on which the images of a run or an export are explored: by class, between two "
        "images, and next to the training images.",
        "runs/demo/s3gan",
    )
    parser.add_argument("run", help="run folder, or output folder of compare-gan export")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any free one")
    parser.add_argument("--no_browser", action="store_true", help="print the URL, and open no browser")
    parser.add_argument(
        "--extractor", help="features that decide which training images are nearest; default: as in evaluate"
    )
    parser.add_argument("--data", help="the training images, if they have moved")
    add_choice(parser)


def explore(arguments: argparse.Namespace) -> None:
    import webbrowser

    from compare_gan.explore.server import Server
    from compare_gan.export.folder import is_export

    if not 0 <= arguments.port < 2**16:
        raise UserError(f"--port is {arguments.port}; it must be 0 to {2**16 - 1}")
    source = Path(arguments.run)
    explorer = (of_export if is_export(source) else of_run)(source, arguments)
    with Server(explorer, arguments.port) as server:
        try:
            print(f"{server.url}\nCtrl-C ends it", flush=True)
            if not arguments.no_browser and has_display():
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nended")


def has_display() -> bool:
    """Whether a browser can open a window: others would take over the terminal."""
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, names))


def of_run(run_dir: Path, arguments: argparse.Namespace) -> Any:
    """The `Explorer` of a run folder."""
    import functools

    from compare_gan.evaluation.neighbours import TrainingImages
    from compare_gan.explore.views import Explorer
    from compare_gan.runs import open_run

    run = open_run(run_dir, allow_imports=arguments.allow_imports)
    step = run.step_number(arguments.step)
    words = ["compare-gan", "sample", arguments.run, "--step", str(step)]
    if arguments.statistics_examples != STATISTICS_EXAMPLES:
        words += ["--statistics_examples", str(arguments.statistics_examples)]
    if arguments.allow_imports:
        words += ["--allow_imports", *arguments.allow_imports]
    sampler = run.sampler(arguments.step, statistics_examples=arguments.statistics_examples)

    @functools.cache
    def training() -> TrainingImages:
        data = run.open_data(arguments.data) if arguments.data else None
        return run.training_images(arguments.extractor, data)

    return Explorer(
        sampler,
        run_dir.resolve().name,
        facts(sampler, run.about["method"], run.about["architecture"], step),
        words,
        training,
        run.about["class_names"],
    )


def of_export(folder: Path, arguments: argparse.Namespace) -> Any:
    """The `Explorer` of an export."""
    from compare_gan.explore.views import Explorer
    from compare_gan.export.folder import read_metadata

    for option in ("extractor", "data"):
        if getattr(arguments, option):
            raise UserError(f"{folder}: an export has no training images; --{option} applies only to runs")
    sampler, about = sampler_from_export(folder, arguments), read_metadata(folder)
    return Explorer(
        sampler,
        folder.resolve().name,
        facts(sampler, about.method, about.architecture, about.step),
        ["compare-gan", "sample", arguments.run],
        "An export does not contain the training images; explore the run folder to see the nearest ones.",
    )


def facts(sampler: Any, method: str, architecture: str, step: int) -> list[str]:
    """What the page says of the generator below its title."""
    h, w, c = sampler.image_shape
    found = [
        method,
        architecture.removesuffix("_arch"),
        f"{w} \u00d7 {h} pixels" + (", grey" if c == 1 else ""),
    ]
    if sampler.class_names:
        found.append(f"{len(sampler.class_names):,} class" + ("es" if len(sampler.class_names) > 1 else ""))
    return [*found, f"step {step:,}"]

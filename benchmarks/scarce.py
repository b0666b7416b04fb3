"""GANs trained on few images: plain, and with each remedy.

  python -m benchmarks.scarce --setting digits --data digits --out runs/digits
  python -m benchmarks.scarce --setting fashion --data fashion --out runs/fashion
  python -m benchmarks.scarce --setting photos32 --data FOLDER --extractor cifar10.npz --out runs/photos

For each share of the training images, seed and part, an unconditional GAN is trained and scored on all
held-out images. The seed selects the images, which are nested and balanced over classes, and is that of the
GAN. Runs that exist are not repeated, so the same command resumes; `--at_most N` stops after N runs, with
exit code 3 while some remain. `python -m benchmarks.scarce_page` makes the table and the figure.
"""

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare_gan.core.allocator import keep_freed_memory

keep_freed_memory()

import numpy as np  # noqa: E402

from benchmarks.models import PARTS  # noqa: E402
from compare_gan.config.parse import parse  # noqa: E402
from compare_gan.config.recipes import recipe  # noqa: E402
from compare_gan.core.errors import UserError  # noqa: E402
from compare_gan.core.files import write_json  # noqa: E402
from compare_gan.core.interrupt import Interrupted  # noqa: E402
from compare_gan.data import ImageDataset, LoadOptions, open_dataset  # noqa: E402
from compare_gan.data.base import UNLABELLED  # noqa: E402
from compare_gan.data.labels import choose_kept, labelled_only  # noqa: E402
from compare_gan.evaluation.during_training import Scoring  # noqa: E402
from compare_gan.evaluation.options import EvalOptions  # noqa: E402
from compare_gan.evaluation.scores import read_scores  # noqa: E402
from compare_gan.main import use_compilation_cache  # noqa: E402
from compare_gan.runs import train  # noqa: E402
from compare_gan.training.divergence import DivergencePolicy  # noqa: E402
from compare_gan.training.schedule import TrainSchedule  # noqa: E402

METRICS = ("frechet_distance", "kid_score", "authenticity")
COLUMNS = {  # in the results -> our name
    "frechet": "frechet_distance",
    "kernel": "kid_score",
    "authentic": "authenticity",
    "authentic_held_out": "authenticity_held_out",
}
STATISTICS_EXAMPLES = 20_000
UNFINISHED = 3

PLAIN = "plain"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained."""

    recipe: str  # packaged networks
    steps: int
    bindings: list[str]
    parts: Mapping[str, list[str]]  # the numbers of each part that fit this setting
    generated: int  # images that are compared with the held-out ones
    scores: int = 8  # evenly spaced over the training


SETTINGS = {
    "digits": Setting(
        "small",
        8000,
        ["ModularGAN.ema_decay = 0.999", "ModularGAN.ema_start_step = 1000"],
        {"ADA": ["ADA.kimg = 50"]},
        5000,
    ),
    "fashion": Setting(
        "small",
        8000,
        [
            "precision.compute = 'bfloat16'",  # for a CPU with AMX
            "resnet_small.Generator.ch = 16",
            "resnet_small.Discriminator.ch = 16",
            "ModularGAN.ema_decay = 0.999",
            "ModularGAN.ema_start_step = 1000",
        ],
        {"ADA": ["ADA.kimg = 50"]},
        5000,
    ),
    "photos32": Setting(
        "small32",
        4000,
        [
            "options.batch_size = 32",
            "resnet_small.Generator.ch = 16",
            "resnet_small.Discriminator.ch = 16",
            "ModularGAN.g_lr = 4e-4",  # twice those of small32, since the training is short
            "ModularGAN.d_lr = 8e-4",
            "dataset.random_flip = True",
        ],
        {"ADA": ["ADA.kimg = 50"]},
        10_000,
        scores=4,
    ),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One GAN."""

    part: str
    share: float  # of the training images
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.part}-{self.share:g}-{self.seed}"


def bindings_of(cell: Cell, setting: Setting, steps: int, extra: Sequence[str]) -> list[str]:
    """All bindings of a GAN, after those of the recipes."""
    parts = [] if cell.part == PLAIN else cell.part.split("+")
    own = [line for part in parts for line in (*PARTS[part], *setting.parts.get(part, []))]
    return [*setting.bindings, *own, *extra, f"options.training_steps = {steps}"]


def share_of(data: ImageDataset, share: float, seed: int) -> ImageDataset:
    """The data set with a share of the training images of each class."""
    labels = np.full(len(data.train), UNLABELLED, np.int32)
    kept = choose_kept(data.train.labels, share, seed)
    labels[kept] = data.train.labels[kept]
    return labelled_only(data.with_labels(labels))


def measure(
    cell: Cell,
    setting: Setting,
    steps: int,
    data: ImageDataset,
    extractor: str | None,
    folder: Path,
    extra: Sequence[str],
) -> dict[str, Any]:
    """Trains and scores a GAN."""
    parsed = parse([recipe(setting.recipe), recipe("no_labels")], bindings_of(cell, setting, steps, extra))
    options = EvalOptions(extractor, METRICS, setting.generated, 1, statistics_examples=STATISTICS_EXAMPLES)
    seen, every, start = (
        share_of(data, cell.share, cell.seed),
        max(1, steps // setting.scores),
        time.monotonic(),
    )
    train(
        parsed.gan(data.spec),
        seen,
        folder,
        schedule=TrainSchedule(steps, log_every=max(1, steps // 40), sample_every=every, save_every=every),
        seed=cell.seed,
        random_flip=parsed.dataset.random_flip,
        eval_prior=parsed.eval_prior,
        scoring=Scoring(every, options=options),
        divergence=DivergencePolicy(on_divergence="note"),
        tensorboard=False,
    )
    rows = read_scores(folder)
    return dataclasses.asdict(cell) | {
        "images": len(seen.train),
        "held_out": len(data.test),
        "seconds": round(time.monotonic() - start),
        "scores": [
            {"step": int(row["step"])}
            | {name: float(row[column]) for name, column in COLUMNS.items() if row.get(column)}
            for row in rows
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--setting", required=True, choices=list(SETTINGS), help="networks and training")
    parser.add_argument(
        "--data", required=True, help="digits, fashion, or CIFAR-10: a parquet folder, or an .npz file"
    )
    parser.add_argument(
        "--extractor", help="of the scores: a file of `compare-gan classifier`; digits and fashion have one"
    )
    parser.add_argument("--out", required=True, type=Path, help="where everything is written")
    parser.add_argument(
        "--parts",
        nargs="+",
        default=[PLAIN, *PARTS],
        help=f"some of {PLAIN}, {', '.join(PARTS)}, or several joined by +; default: all of these",
    )
    parser.add_argument("--shares", nargs="+", type=float, default=[1, 0.2, 0.1, 0.05])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="in place of those of the setting")
    parser.add_argument("--gin_bindings", nargs="+", default=[], help="added to every GAN")
    parser.add_argument("--at_most", type=int, help="train at most this many GANs now")
    arguments = parser.parse_args()
    use_compilation_cache()
    try:
        return run(arguments)
    except UserError as error:
        sys.exit(f"scarce: {error}")
    except Interrupted as stop:
        sys.exit(f"{stop}; the same command resumes")


def run(arguments: argparse.Namespace) -> int:
    setting = SETTINGS[arguments.setting]
    steps = arguments.steps or setting.steps
    for name in {part for each in arguments.parts for part in each.split("+")} - {PLAIN, *PARTS}:
        raise UserError(f"no part is called {name!r}; there are {', '.join(PARTS)}")
    data = open_dataset(arguments.data, reading=LoadOptions())
    done = 0
    for seed, share, part in itertools.product(arguments.seeds, arguments.shares, arguments.parts):
        cell = Cell(part, share, seed)
        folder = arguments.out / cell.folder
        if (folder / "result.json").exists():
            continue
        if done == arguments.at_most:
            return UNFINISHED
        result = measure(cell, setting, steps, data, arguments.extractor, folder, arguments.gin_bindings)
        write_json(folder / "result.json", result)
        print(f"{cell.folder}: {result['scores'][-1]}, {result['seconds']} s", flush=True)
        done += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

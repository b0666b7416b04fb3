"""From a trained GAN to scores."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.pictures import to_uint8
from compare_gan.core.registry import METRICS
from compare_gan.core.types import GANState
from compare_gan.data.base import ImageDataset
from compare_gan.features.base import Extractor
from compare_gan.gans.modular import GAN
from compare_gan.gans.standing import EXAMPLES, PREVIEW, with_statistics
from compare_gan.gans.step import compiled_sample
from compare_gan.metrics.context import EvalContext, ImageSet

SCORES = "scores.csv"
BATCH = 500


@dataclasses.dataclass(frozen=True)
class EvalSettings:
    """How scores are made.

    Raises:
      UserError: an unknown metric, or no images.
    """

    images: int = 5000  # generated
    seed: int = 42
    statistics_examples: int = EXAMPLES  # images from which accumulated batch statistics are taken
    metrics: tuple[str, ...] = ("frechet_distance", "class_agreement")

    def __post_init__(self):
        for name in self.metrics:
            METRICS[name]  # noqa: B018  (raises)
        if self.images < 2:
            raise UserError(f"{self.images} images are too few to score")


def generate_images(
    gan: GAN, state: GANState, count: int, seed: int, statistics_examples: int = PREVIEW
) -> tuple[np.ndarray, np.ndarray | None]:
    """`count` images [count, H, W, C] uint8, classes in turn, and their labels [count] or None."""
    root = jax.random.key(seed)
    state = with_statistics(gan, state, jax.random.fold_in(root, count), statistics_examples)
    labels = np.arange(count) % gan.y_dim if gan.conditional else None
    parts = []
    for i in range(-(-count // BATCH)):
        z = gan.prior(jax.random.fold_in(root, i), (BATCH, gan.z_dim))
        y = None
        if gan.conditional:
            y = jax.nn.one_hot((np.arange(BATCH) + i * BATCH) % gan.y_dim, gan.y_dim)
        parts.append(to_uint8(np.asarray(compiled_sample(gan, state, z, y))))
    return np.concatenate(parts)[:count], labels


def evaluate(
    gan: GAN, state: GANState, dataset: ImageDataset, extractor: Extractor, settings: EvalSettings
) -> dict[str, Any]:
    """The scores of one state, and all that they depend on, as one row.

    Args:
      gan, state: what is scored.
      dataset: whose test images it is compared with, under the classes that the GAN was trained on. Where
        these are not the extractor's (clusters, say), nothing can tell whether an image shows its class.
      extractor: what scores are measured with.
      settings: how.
    """
    images, labels = generate_images(gan, state, settings.images, settings.seed, settings.statistics_examples)
    real = ImageSet(dataset.test.images, None, extractor)
    labels = labels if dataset.class_names == extractor.class_names else None
    context = EvalContext(real, ImageSet(images, labels, extractor))
    scores: dict[str, Any] = {"step": int(state.step)}
    for name in settings.metrics:
        scores |= METRICS[name].compute(context)
    return scores | {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        "data": dataset.name,
        "fit": dataset.fit,
        "real_images": len(dataset.test),
        "generated_images": settings.images,
        "ema": gan.g_use_ema,
        "seed": settings.seed,
        "compare_gan": __version__,
    }


def write_scores(run_dir: Path, row: dict[str, Any]) -> None:
    """Adds a row to the run's scores; an older row of the same step and makings goes."""
    rows = [old for old in read_scores(run_dir) if _makings(old) != _makings(_text(row))]
    rows = sorted([*rows, _text(row)], key=lambda r: int(r["step"]))
    names = list(dict.fromkeys(name for r in rows for name in r))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic(run_dir / SCORES) as file:
        file.write(buffer.getvalue().encode())


def read_scores(run_dir: Path) -> list[dict[str, str]]:
    """The rows of a run's scores as text; none where there is no file."""
    path = run_dir / SCORES
    return list(csv.DictReader(io.StringIO(path.read_text()))) if path.exists() else []


def _text(row: dict[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in row.items()}


def _makings(row: dict[str, str]) -> dict[str, str]:
    scores = {column for name in METRICS for column in METRICS[name].columns}
    return {name: value for name, value in row.items() if name not in scores}

"""Scores a trained GAN."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compare_gan import __version__
from compare_gan.core.defaults import DEFAULT_METRICS, STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.core.registry import METRICS
from compare_gan.core.sampler import NUM_SEEDS, NotFinite, Sampler, check_truncation, truncate
from compare_gan.core.types import Array, DiscriminatorOut, GANState
from compare_gan.data.base import ImageDataset, Split, hard_labels
from compare_gan.data.fingerprint import fingerprint as pixels_sha256
from compare_gan.evaluation.classes import labels_sha256, with_classes
from compare_gan.evaluation.neighbours import warn_if_features_do_not_fit
from compare_gan.evaluation.scores import (
    NOT_FINITE,
    PROTOCOL_VERSION,
    TRAINING_SHARES,
    summarize_runs,
    write_scores,
)
from compare_gan.evaluation.sets import cached_features, compute_scores, warn_if_few_images
from compare_gan.features.base import Extractor
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import compiled_sample, sampler_of
from compare_gan.gans.sampling import describe_prior
from compare_gan.gans.standing import prepare_for_inference
from compare_gan.metrics.context import EvalContext, Generator, ImageSet, Need, check
from compare_gan.nn.state import merge_module

__all__ = ["EvalSettings", "evaluate", "protocol_columns", "real_scores", "write_scores"]

CLASSES: set[Need] = {"logits", "same_classes", "labels", "real_labels"}  # a score may be None without them
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EvalSettings:
    """The evaluation protocol.

    Raises:
      UserError: an unknown metric, or too few images or runs.
    """

    images: int = 5000  # images per generated set
    seed: int = 42  # of the first generated set; the next sets have the next seeds
    statistics_examples: int = STATISTICS_EXAMPLES  # images for accumulated statistics
    metrics: tuple[str, ...] = DEFAULT_METRICS
    runs: int = 1  # number of generated sets
    cache: Path | None = None  # folder for cached features of real images
    truncation: float | None = None  # of the latent vectors, see `core.sampler.truncate`

    def __post_init__(self):
        for name in self.metrics:
            METRICS[name]  # noqa: B018  (raises)
        if self.images < 2:
            raise UserError(f"{self.images} images are too few to score")
        if self.runs < 1:
            raise UserError(f"{self.runs} evaluation runs are too few")
        if not 0 <= self.seed <= NUM_SEEDS - self.runs:
            raise UserError(f"--eval_seed is {self.seed}; it must be in 0..{NUM_SEEDS - self.runs}")


def metric_names(words: Sequence[str]) -> tuple[str, ...]:
    """Distinct names of metrics from words with one name, or with several separated by commas.

    Raises:
      UserError: there are none, or one is unknown.
    """
    names = tuple(dict.fromkeys(name for word in words for name in word.split(",") if name))
    if not names:
        raise UserError("--metrics names no metric")
    for name in names:
        METRICS[name]  # noqa: B018  (raises)
    return names


def evaluate(
    gan: GAN,
    state: GANState,
    dataset: ImageDataset,
    extractor: Extractor,
    settings: EvalSettings,
    inspect: Callable[[EvalContext], None] | None = None,
) -> dict[str, Any]:
    """The scores of one state and the evaluation protocol, as one row.

    If images contain NaN or Inf, every score is 31337, as in compare_gan. All devices generate images and
    extract features. With several processes, all must call this function, and all get the same row. A metric
    that fails is logged as a warning, has no score, and is missing from the column `scored`.

    Args:
      gan, state: the GAN to score.
      dataset: its test images are the reference; its classes are those of the GAN. Scores that need classes
        which the GAN, the test images or the extractor lack are None.
      extractor: the feature extractor.
      settings: the evaluation protocol.
      inspect: is called with the first generated set, after its scores, if all images are finite.

    Raises:
      UserError: a metric needs inputs that are missing, or more images.
    """
    inputs = available_inputs(gan, dataset) | CLASSES
    check(settings.metrics, inputs, (len(dataset.test), settings.images))
    row = {"step": int(state.step)} | protocol_columns(gan, dataset, extractor, settings)
    check_truncation(describe_prior(gan.prior), settings.truncation)
    placement = Placement.create()
    prepared = prepare_for_inference(gan, state, settings.statistics_examples)
    sampler = sampler_of(gan, prepared)
    gathered = dataclasses.replace(placement.gather(prepared), d=placement.gather(state.d))
    real = cached_features(_under_training_classes(dataset), extractor, settings.cache)
    train = ImageSet(dataset.train.images, hard_labels(dataset.train), extractor)
    if any({"train", "features"} <= METRICS[name].needs for name in settings.metrics):
        warn_if_features_do_not_fit(extractor, dataset.class_names)
        train = cached_features(dataset.train, extractor, settings.cache)
    drawn = labels_to_draw(gan, dataset, settings)
    runs: list[dict[str, float | None]] = []
    all_failed: set[str] = set()
    for run in range(settings.runs):
        try:
            images, labels = generated_set(sampler, settings, run, drawn)
        except NotFinite:
            log.warning("step %d: generated images contain NaN or Inf", row["step"])
            runs.append({column: NOT_FINITE for name in settings.metrics for column in METRICS[name].columns})
            continue
        context = EvalContext(
            real,
            ImageSet(images, labels, extractor),
            train,
            generator_of(gan, gathered, settings.truncation),
            discriminator_of(gan, gathered),
            settings.seed + run,
            dataset.class_names == extractor.class_names,
        )
        scores, failed = compute_scores(context, settings.metrics)
        if run == 0:
            warn_if_few_images(context, scores)
            if inspect is not None:
                inspect(context)
        all_failed |= {*failed}
        runs.append(scores)
    scored = [name for name in settings.metrics if name not in all_failed]
    return row | summarize_runs(runs) | {"scored": " ".join(scored)}


def generated_set(
    sampler: Sampler, settings: EvalSettings, run: int, classes: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The images [N, H, W, C] uint8 of one of the generated sets, and their labels [N] or None.

    Set i consists of the images that `compare-gan sample` and `Run.sample` draw with the seed
    `settings.seed` + i, and with the labels `classes` [N] in place of evenly drawn ones if given.

    Raises:
      NotFinite: the images contain NaN or Inf.
    """
    seed = settings.seed + run
    return sampler.images(settings.images, seed, classes, truncation=settings.truncation)


def labels_to_draw(gan: GAN, dataset: ImageDataset, settings: EvalSettings) -> list[int] | None:
    """Labels [N] in the shares of the training labels if the GAN was trained so, else None.

    Probabilities as labels count as their most probable class.
    """
    if not draws_training_shares(gan):
        return None
    labels = hard_labels(dataset.train)
    if not (labels >= 0).any():
        return None
    frequencies = np.bincount(labels[labels >= 0], minlength=gan.y_dim)
    return in_shares(frequencies, settings.images).tolist()


def draws_training_shares(gan: GAN) -> bool:
    """Whether a GAN was trained with generated labels in the shares of the real ones."""
    return gan.conditional and gan.fit_label_distribution


def in_shares(frequencies: np.ndarray, count: int) -> np.ndarray:
    """Class indices [count] in the shares of frequencies [K], to within one image, and evenly mixed."""
    exact = frequencies / frequencies.sum() * count
    counts = np.floor(exact).astype(int)
    largest = np.argsort(counts - exact, kind="stable")[: count - counts.sum()]
    counts[largest] += 1
    classes = np.repeat(np.arange(len(frequencies)), counts)
    position = np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n])
    return classes[np.argsort(position, kind="stable")]


def real_scores(dataset: ImageDataset, extractor: Extractor, settings: EvalSettings) -> dict[str, Any]:
    """The scores of real training images in place of generated ones, as a reference for generators.

    Labelled training images, all or a random subset of `settings.images`, are compared with the test images.

    Returns:
      `real_images` and `train_images`, the numbers of images; and a score for each column of
      `settings.metrics`, None if it needs a generator, a discriminator, missing classes or more images.
    """
    labels, count = hard_labels(dataset.train), min(len(dataset.train), settings.images)
    drawn = np.random.default_rng(settings.seed).choice(len(dataset.train), count, replace=False)
    index = np.sort(drawn)
    context = EvalContext(
        cached_features(_under_training_classes(dataset), extractor, settings.cache),
        ImageSet(dataset.train.images[index], labels[index], extractor),
        seed=settings.seed,
        same_classes=dataset.class_names == extractor.class_names,
    )
    counts = len(dataset.test), count
    names = [
        name
        for name in settings.metrics
        if METRICS[name].needs <= {"summary", "features", "images", *CLASSES}
        and METRICS[name].min_images(max(counts)) <= min(counts)
    ]
    scores, _ = compute_scores(context, names)
    columns = [column for name in settings.metrics for column in METRICS[name].columns]
    return {"real_images": counts[0], "train_images": count} | dict.fromkeys(columns) | scores


def protocol_columns(
    gan: GAN, dataset: ImageDataset, extractor: Extractor, settings: EvalSettings
) -> dict[str, Any]:
    """The columns of a row that describe the evaluation protocol, not the weights."""
    moving = gan.layers.batch.use_moving_averages
    return {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        "data": dataset.name,
        "data_sha256": pixels_sha256(dataset.test.images),
        "labels_sha256": labels_sha256(hard_labels(dataset.test), dataset.test_classes),
        "fit": dataset.fit,
        "real_images": len(dataset.test),
        "generated_images": settings.images,
        "runs": settings.runs,
        "seed": settings.seed,
        "statistics_examples": settings.statistics_examples,
        "protocol": PROTOCOL_VERSION,
        "truncation": settings.truncation,
        "train_labels_sha256": labels_sha256(hard_labels(dataset.train), dataset.class_names),
        "labels_drawn": labels_drawn(gan),
        "ema": gan.g_use_ema,
        "batch_statistics": "moving" if moving else f"accumulated over {settings.statistics_examples}",
        "compare_gan": __version__,
    }


def labels_drawn(gan: GAN) -> str | None:
    """How the labels of generated images are chosen: all classes equally often, or as in training."""
    if not gan.conditional:
        return None
    return TRAINING_SHARES if draws_training_shares(gan) else "evenly"


def available_inputs(gan: GAN, dataset: ImageDataset) -> set[Need]:
    """The inputs available to metrics, apart from those of the extractor."""
    found: set[Need] = {"summary", "features", "images", "train", "generator", "discriminator"}
    if gan.conditional:
        found |= {"labels"}
    if (_under_training_classes(dataset).labels >= 0).any():
        found |= {"real_labels"}
    return found


def check_settings(
    settings: EvalSettings, gan: GAN, dataset: ImageDataset, extractor: Extractor, lenient: bool = False
) -> None:
    """Checks, before long work, that the extractor accepts the images and that metrics can be computed.

    Args:
      lenient: whether scores that need missing classes may be None, as in `evaluate`.

    Raises:
      UserError: the extractor rejects the images, or a metric cannot be computed.
    """
    check_truncation(describe_prior(gan.prior), settings.truncation)
    extracted = extractor(dataset.test.images[:1])
    inputs = available_inputs(gan, dataset) | (CLASSES if lenient else set())
    if extracted.classes.shape[1]:
        inputs |= {"logits"}
    if dataset.class_names and dataset.class_names == extractor.class_names:
        inputs |= {"same_classes"}
    check(settings.metrics, inputs, (len(dataset.test), settings.images))


def _under_training_classes(dataset: ImageDataset) -> Split:
    """The test images with labels mapped to the classes of the GAN, -1 for classes that it lacks."""
    return with_classes(dataset.test, dataset.test_classes, dataset.class_names)


def generator_of(gan: GAN, state: GANState, truncation: float | None = None) -> Generator:
    """The `Generator` for metrics, from a state with batch statistics for inference."""

    def prior(key: Array, count: int) -> Array:
        z = gan.prior(key, (count, gan.z_dim))
        return z if truncation is None else truncate(z, describe_prior(gan.prior), truncation)

    return Generator(
        lambda state, z, y: compiled_sample(gan, state, z, y),
        state,
        prior,
        gan.y_dim if gan.conditional else 0,
    )


def discriminator_of(gan: GAN, state: GANState) -> Any:
    """The `Discriminator` for metrics: uint8 images and labels or None -> its outputs."""

    @jax.jit
    def apply(d: Any, images: Array, y: Array | None) -> DiscriminatorOut:
        discriminator = merge_module(gan.d_def, d.params, d.extra)
        return discriminator(images.astype(np.float32) / 255, y, gan.tasks, train=False)

    def call(images: np.ndarray, labels: np.ndarray | None) -> DiscriminatorOut:
        y = None
        if gan.conditional:
            y = jax.nn.one_hot(np.full(len(images), -1) if labels is None else labels, gan.y_dim)
        return jax.tree.map(np.asarray, apply(state.d, images, y))

    return call

"""The inputs of metrics, and the metric registry. Features are computed on first use and cached.

Shape letters: N images, B a batch of them, H W C image, Z latent, K classes, F features.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal, TypeVar

import jax
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.registry import METRICS
from compare_gan.core.types import Array, DiscriminatorOut, Tree
from compare_gan.data.base import Images
from compare_gan.features.base import Extracted, FeaturesAndClasses
from compare_gan.metrics.summaries import Gaussian, Summary, summarize

BATCH = 1000  # images per batch when features are processed in batches

T = TypeVar("T")


@dataclasses.dataclass(eq=False)
class ImageSet:
    """Images with labels and extracted features.

    Features are computed on first use and cached.
    """

    images: Images  # [N, H, W, C] uint8; or features [N, F], see `of_features`
    labels: np.ndarray | None  # [N] class indices, -1 = unlabelled; or None
    extractor: Callable[[Images], Extracted]
    gaussian: Gaussian | None = None  # of the features, if these are unavailable: see `of_gaussian`
    extracted: Extracted | None = None  # of all images; None: not computed yet

    @classmethod
    def of_features(cls, features: np.ndarray, labels: np.ndarray | None = None) -> "ImageSet":
        """A set with features [N, F] but without images; features may be memory-mapped."""
        return cls(features, labels, lambda rows: FeaturesAndClasses(rows[:], np.zeros((len(rows), 0))))

    @classmethod
    def of_gaussian(cls, gaussian: Gaussian) -> "ImageSet":
        """A set with only the mean and covariance of the features; the number of images is unknown."""
        empty = cls.of_features(np.zeros((0, len(gaussian.mean))))
        return dataclasses.replace(empty, gaussian=gaussian)

    @property
    def outputs(self) -> Extracted:
        """Features [N, F] and logits [N, K] of all images, extracted on first use."""
        if self.extracted is None:
            self.extracted = self.extractor(self.images)
        return self.extracted

    @functools.cached_property
    def summary(self) -> Summary:
        """Statistics of features and logits, computed in batches."""
        if self.gaussian is not None:
            return Summary(self.gaussian, None)
        return summarize(self.parts())

    def parts(self) -> Iterator[Extracted]:
        """Batches of features and logits, from `extracted` if set; newly extracted ones are not cached."""
        for start in range(0, len(self.images), BATCH):
            part = slice(start, start + BATCH)
            if self.extracted is None:
                yield self.extractor(self.images[part])
            else:
                yield FeaturesAndClasses(self.extracted.features[part], self.extracted.classes[part])


@dataclasses.dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator, for metrics that evaluate it directly."""

    apply: Callable[[Tree, Array, Array | None], Array]  # state, z [B, Z], y [B, K] -> [B, H, W, C] in [0, 1]
    state: Tree
    prior: Callable[[Array, int], Array]  # key, B -> z [B, Z]
    num_classes: int = 0  # K; 0: unconditional, y is None

    def inputs(self, rng: Array, count: int) -> tuple[Array, Array | None]:
        """Latent vectors [count, Z], and one-hot labels [count, K] of random classes, or None."""
        z_rng, y_rng = jax.random.split(rng)
        z = self.prior(z_rng, count)
        if not self.num_classes:
            return z, None
        return z, jax.nn.one_hot(jax.random.randint(y_rng, (count,), 0, self.num_classes), self.num_classes)


# uint8 images [B, H, W, C] and their labels [B] or None -> NumPy arrays.
Discriminator = Callable[[np.ndarray, np.ndarray | None], DiscriminatorOut]


@dataclasses.dataclass(frozen=True, eq=False)
class EvalContext:
    """Held-out real images, generated images, and optionally the GAN and its training images."""

    real: ImageSet
    fake: ImageSet
    train: ImageSet | None = None  # training images of the GAN
    generator: Generator | None = None
    discriminator: Discriminator | None = None
    seed: int = 42  # of the random numbers of each metric
    same_classes: bool = True  # whether extractor and labels have the same classes


# Inputs that metrics may need -> description for error messages.
NEEDS = {
    "summary": "features",  # or logits, a batch at a time
    "features": "the features of every image (mu and sigma are not enough)",  # all in memory
    "images": "images",  # not only their features
    "logits": "an extractor with class logits",
    "same_classes": "an extractor with the same classes as the generated images",
    "labels": "classes of the generated images, the same as those of the real ones",
    "real_labels": "classes of the real images",
    "train": "training images",
    "generator": "a generator",
    "discriminator": "a discriminator",
}
Need = Literal[
    "summary",
    "features",
    "images",
    "logits",
    "same_classes",
    "labels",
    "real_labels",
    "train",
    "generator",
    "discriminator",
]
Scores = Mapping[str, float | None]  # by column; None if a score does not apply
Compute = Callable[[EvalContext], Scores]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A registered metric: its function, columns and required inputs."""

    compute: Compute
    columns: tuple[str, ...]
    needs: frozenset[Need]
    higher_is_better: frozenset[str] = frozenset()  # columns; for all others lower is better
    min_images: Callable[[int], int] = lambda larger: 2  # size of the larger set -> minimum of both


def metric(
    name: str,
    *columns: str,
    needs: Collection[Need],
    higher_is_better: bool | Collection[str] = (),
    min_images: int | Callable[[int], int] = 2,
) -> Callable[[Compute], Compute]:
    """Decorator: registers a metric under `name`, which is also its only column unless `columns` are given.

    `higher_is_better` lists columns for which higher is better; True means all. At least `min_images` real
    and generated images are required, which may be a function of the size of the larger set.
    """
    columns = columns or (name,)
    higher = (columns if higher_is_better else ()) if isinstance(higher_is_better, bool) else higher_is_better

    def decorate(compute: Compute) -> Compute:
        required = min_images if callable(min_images) else lambda larger: min_images
        METRICS.register(name)(Metric(compute, columns, frozenset(needs), frozenset(higher), required))
        return compute

    return decorate


def check(names: Iterable[str], available: Collection[Need], counts: Collection[int] = ()) -> None:
    """Checks, before long work, that metrics can be computed from the available inputs.

    Args:
      names: names of metrics.
      available: the available inputs.
      counts: the numbers of real and of generated images, if known.

    Raises:
      UserError: a metric is unknown, or needs other inputs or more images.
    """
    for name in names:
        missing = [
            description
            for need, description in NEEDS.items()
            if need in METRICS[name].needs and need not in available
        ]
        if missing:
            raise UserError(f"the metric {name} needs {' and '.join(missing)}; leave it out")
        min_images = METRICS[name].min_images(max(counts, default=0))
        if counts and min(counts) < min_images:
            raise UserError(
                f"the metric {name} needs {min_images} real and {min_images} generated images, but one set "
                f"has {min(counts)}; give more, or leave it out"
            )


def equal_size_features(ctx: EvalContext) -> tuple[np.ndarray, np.ndarray]:
    """Features of real and of generated images, each [N, F].

    The larger set is subsampled at random, since a folder of images may be sorted by class.
    """
    rng = np.random.default_rng(ctx.seed)
    real, fake = ctx.real.outputs.features, ctx.fake.outputs.features
    count = min(len(real), len(fake))

    def subsampled(features: np.ndarray) -> np.ndarray:
        if len(features) == count:
            return features
        return features[np.sort(rng.choice(len(features), count, replace=False))]

    return subsampled(real), subsampled(fake)


def features_first(names: Iterable[str]) -> list[str]:
    """Sorts metrics that need all features to the front, so that features are extracted only once."""
    return sorted(names, key=lambda name: "features" not in METRICS[name].needs)


def require(part: T | None, what: str) -> T:
    """Returns an optional input of a metric.

    Raises:
      UserError: it is None.
    """
    if part is None:
        raise UserError(f"a metric needs {what}, which is missing; leave it out")
    return part

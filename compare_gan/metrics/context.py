"""What a metric may look at, and what a metric is. Each part is computed when first asked for, and once.

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

BATCH = 1000  # images whose features are held at once where not all need be

T = TypeVar("T")


@dataclasses.dataclass(eq=False)
class ImageSet:
    """Images, what they are meant to show, and what an extractor sees in them.

    Features are computed when first asked for, and kept.
    """

    images: Images  # [N, H, W, C] uint8; or features [N, F], see `of_features`
    labels: np.ndarray | None  # [N] class indices, -1 = unlabelled; or None
    extractor: Callable[[Images], Extracted]
    gaussian: Gaussian | None = None  # of the features, where they are not there: see `of_gaussian`
    extracted: Extracted | None = None  # of all images; None: not computed yet

    @classmethod
    def of_features(cls, features: np.ndarray, labels: np.ndarray | None = None) -> "ImageSet":
        """A set of which only the features [N, F] are known; they may stay on disk."""
        return cls(features, labels, lambda rows: FeaturesAndClasses(rows[:], np.zeros((len(rows), 0))))

    @classmethod
    def of_gaussian(cls, gaussian: Gaussian) -> "ImageSet":
        """A set of which only the mean and covariance of the features are known, not even how many."""
        nothing = cls.of_features(np.zeros((0, len(gaussian.mean))))
        return dataclasses.replace(nothing, gaussian=gaussian)

    @property
    def outputs(self) -> Extracted:
        """Features [N, F] and logits [N, K] of all images."""
        if self.extracted is None:
            self.extracted = self.extractor(self.images)
        return self.extracted

    @functools.cached_property
    def summary(self) -> Summary:
        """What there is to know without holding them all; taken from them if they are held."""
        if self.gaussian is not None:
            return Summary(self.gaussian, None)
        return summarize(self.parts())

    def parts(self) -> Iterator[Extracted]:
        """Features and logits, of some images at a time. None are kept; those of `extracted` are used."""
        for start in range(0, len(self.images), BATCH):
            part = slice(start, start + BATCH)
            if self.extracted is None:
                yield self.extractor(self.images[part])
            else:
                yield FeaturesAndClasses(self.extracted.features[part], self.extracted.classes[part])


@dataclasses.dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator, for metrics that look inside."""

    apply: Callable[[Tree, Array, Array | None], Array]  # state, z [B, Z], y [B, K] -> [B, H, W, C] in [0, 1]
    state: Tree
    prior: Callable[[Array, int], Array]  # key, B -> z [B, Z]
    num_classes: int = 0  # K; 0: there are no labels, and y is None

    def inputs(self, rng: Array, count: int) -> tuple[Array, Array | None]:
        """Latent vectors [count, Z], and labels [count, K] of classes drawn at random, or None."""
        z_rng, y_rng = jax.random.split(rng)
        z = self.prior(z_rng, count)
        if not self.num_classes:
            return z, None
        return z, jax.nn.one_hot(jax.random.randint(y_rng, (count,), 0, self.num_classes), self.num_classes)


# uint8 images [B, H, W, C] and their labels [B] or None -> NumPy arrays.
Discriminator = Callable[[np.ndarray, np.ndarray | None], DiscriminatorOut]


@dataclasses.dataclass(frozen=True, eq=False)
class EvalContext:
    """Real images held out from training, generated ones, and what is known of where these come from."""

    real: ImageSet
    fake: ImageSet
    train: ImageSet | None = None  # what the GAN has learned from
    generator: Generator | None = None
    discriminator: Discriminator | None = None
    seed: int = 42  # of all that a metric draws at random; every metric starts from it
    same_classes: bool = True  # the extractor's logits are of the classes that labels count


# What metrics may ask for, as an error names it.
NEEDS = {
    "summary": "features",  # or logits, a batch at a time
    "features": "the features of every image, for which mu and sigma will not do",  # all at once
    "images": "images",  # and not only their features
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
Scores = Mapping[str, float | None]  # by column; None where a score does not apply
Compute = Callable[[EvalContext], Scores]


@dataclasses.dataclass(frozen=True)
class Metric:
    """How scores are computed, what they are called, and what it takes."""

    compute: Compute
    columns: tuple[str, ...]
    needs: frozenset[Need]
    higher_is_better: frozenset[str] = frozenset()  # columns; of the others less is
    min_images: Callable[[int], int] = lambda larger: (
        2
    )  # images of a side, where the larger side has `larger`


def metric(
    name: str,
    *columns: str,
    needs: Collection[Need],
    higher_is_better: bool | Collection[str] = (),
    min_images: int | Callable[[int], int] = 2,
) -> Callable[[Compute], Compute]:
    """Decorator: users name the metric `name`, and so is its score, unless its `columns` are named.

    Of columns in `higher_is_better` the greater is the better; True means all. Both real and generated images
    must number `min_images`, which may depend on how many the larger side has.
    """
    columns = columns or (name,)
    more = (columns if higher_is_better else ()) if isinstance(higher_is_better, bool) else higher_is_better

    def decorate(compute: Compute) -> Compute:
        required = min_images if callable(min_images) else lambda larger: min_images
        METRICS.register(name)(Metric(compute, columns, frozenset(needs), frozenset(more), required))
        return compute

    return decorate


def check(names: Iterable[str], given: Collection[Need], counts: Collection[int] = ()) -> None:
    """To be called before long work: whether metrics can be computed from what is there.

    Args:
      names: of metrics.
      given: what they may ask for.
      counts: how many real images there are, and how many generated ones, where that is known.

    Raises:
      UserError: an unknown metric, or one that needs something else or more images.
    """
    for name in names:
        missing = [
            words for need, words in NEEDS.items() if need in METRICS[name].needs and need not in given
        ]
        if missing:
            raise UserError(f"the metric {name} needs {' and '.join(missing)}; leave it out")
        min_images = METRICS[name].min_images(max(counts, default=0))
        if counts and min(counts) < min_images:
            raise UserError(
                f"the metric {name} needs {min_images} real and {min_images} generated images, and one side has "
                f"{min(counts)}; give more, or leave it out"
            )


def equal_size_features(ctx: EvalContext) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, F] of real and of generated images, as many of both.

    Of the larger side some are drawn at random, for a folder of images may be sorted by class.
    """
    rng = np.random.default_rng(ctx.seed)
    real, fake = ctx.real.outputs.features, ctx.fake.outputs.features
    count = min(len(real), len(fake))

    def drawn(features: np.ndarray) -> np.ndarray:
        if len(features) == count:
            return features
        return features[np.sort(rng.choice(len(features), count, replace=False))]

    return drawn(real), drawn(fake)


def features_first(names: Iterable[str]) -> list[str]:
    """Those that need all features first, so that all others find them and none are extracted twice."""
    return sorted(names, key=lambda name: "features" not in METRICS[name].needs)


def require(part: T | None, what: str) -> T:
    """A part of a context that may be missing.

    Raises:
      UserError: it is.
    """
    if part is None:
        raise UserError(f"a metric needs {what}, which is not given; leave it out")
    return part

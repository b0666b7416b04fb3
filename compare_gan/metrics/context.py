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
from compare_gan.metrics.summaries import Summary, summarize

BATCH = 1000  # images whose features are held at once where not all need be

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, what they are meant to show, and what an extractor sees in them."""

    images: Images  # [N, H, W, C] uint8; or features [N, F], see `of_features`
    labels: np.ndarray | None  # [N] class indices, -1 = unlabelled; or None
    extractor: Callable[[Images], Extracted]

    @classmethod
    def of_features(cls, features: np.ndarray, labels: np.ndarray | None = None) -> "ImageSet":
        """A set of which only the features [N, F] are known; they may stay on disk."""
        return cls(features, labels, lambda rows: FeaturesAndClasses(rows[:], np.zeros((len(rows), 0))))

    @functools.cached_property
    def seen(self) -> Extracted:
        """Features [N, F] and logits [N, K] of all images."""
        return self.extractor(self.images)

    @functools.cached_property
    def summary(self) -> Summary:
        """What there is to know without holding them all; taken from them if they are held."""
        return summarize(self.parts())

    def parts(self) -> Iterator[Extracted]:
        held = self.__dict__.get("seen")
        for start in range(0, len(self.images), BATCH):
            part = slice(start, start + BATCH)
            if held is None:
                yield self.extractor(self.images[part])
            else:
                yield FeaturesAndClasses(held.features[part], held.classes[part])


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
    seed: int = 42  # of all that a metric draws at random; each starts from it anew


Need = Literal[
    "summary",  # features or logits, a batch at a time
    "features",  # all features at once
    "images",  # and not only their features
    "labels",  # of the generated images
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
    more_is_better: frozenset[str] = frozenset()  # columns; of the others less is


def metric(
    name: str, *columns: str, needs: Collection[Need], more_is_better: bool | Collection[str] = ()
) -> Callable[[Compute], Compute]:
    """Decorator: users name the metric `name`, and so is its score, unless its `columns` are named.

    Of columns in `more_is_better` the greater is the better; True means all.
    """
    columns = columns or (name,)
    more = (columns if more_is_better else ()) if isinstance(more_is_better, bool) else more_is_better

    def decorate(compute: Compute) -> Compute:
        METRICS.register(name)(Metric(compute, columns, frozenset(needs), frozenset(more)))
        return compute

    return decorate


def check(names: Iterable[str], given: Collection[Need]) -> None:
    """To be called before long work: whether metrics can be computed from what is there.

    Raises:
      UserError: an unknown metric, or one that needs something else.
    """
    for name in names:
        missing = sorted(METRICS[name].needs - set(given))
        if missing:
            words = " and ".join(missing).replace("_", " ")
            raise UserError(f"the metric {name} needs {words}, which is not given; leave it out")


def in_order(names: Iterable[str]) -> list[str]:
    """Those that need all features first, so that all others find them and none are extracted twice."""
    return sorted(names, key=lambda name: "features" not in METRICS[name].needs)


def known(part: T | None, what: str) -> T:
    """A part of a context that may be missing.

    Raises:
      UserError: it is.
    """
    if part is None:
        raise UserError(f"a metric needs {what}, which is not given; leave it out")
    return part

"""The data that flows through the library.

Shape letters: B batch, H W C image, Z latent, K classes, F features.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import optax
from flax import struct

Array = jax.Array
Tree = Any  # a pytree of arrays, here always nested dictionaries
Metrics = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The shape of a data set's images, and its number of classes.

    >>> cg.ImageSpec((32, 32, 3), num_classes=10).image_shape
    (32, 32, 3)
    """

    image_shape: tuple[int, int, int]  # H, W, C
    num_classes: int = 0
    # False: mirrored images mean something else. It refuses options and changes no result, so it is no part
    # of equality.
    mirror: bool = dataclasses.field(default=True, compare=False, repr=False)


class Batch(NamedTuple):
    """A batch from the data pipeline.

    >>> images, labels = np.zeros((64, 32, 32, 3), np.uint8), np.full(64, -1)
    >>> cg.Batch(images, labels).images.shape
    (64, 32, 32, 3)
    """

    images: Array  # [B, H, W, C], uint8 in [0, 255] or float in [0, 1]
    labels: Array  # [B] class indices, -1 = unlabelled; or [B, K] soft labels


class Labeled(NamedTuple):
    """Images with their soft or one-hot labels, the discriminator's input."""

    images: Array  # [B, H, W, C] in [0, 1]
    y: Array | None  # [B, K]; an all-zero row means "no label"
    others: dict[str, Array] | None = None  # [B, H, W, C], generated from `AuxTask.extra_latents`, by task
    origin: "Origin | None" = None  # for tasks with `AuxTask.uses_origin`


class Origin(NamedTuple):
    """Where the images of one side come from."""

    z: Array | None = None  # [B, Z], the latent vectors of generated images
    images: Array | None = None  # [B, H, W, C] before the augmentation
    others: dict[str, Array] | None = None  # the other generated images before the augmentation
    augmentation: dict[str, Array] | None = None  # what `ParametricAugment.parameters` returns, [B, ...]


class Cond(NamedTuple):
    """Conditioning inputs and mode of a forward pass; blocks pass it on unchanged."""

    z: Any = None  # [B, Z] or None; layers that need it check for it when they are created
    y: Any = None  # [B, K] or None
    train: bool = False
    accumulate: bool = False  # add this batch to the accumulated batch statistics
    remat: bool = False  # residual blocks store only their input for the backward pass


class Norm(Protocol):
    """Normalises x [B, ..., C], optionally conditioned on z or y. Returns an array of the same shape."""

    def __call__(self, x: Array, cond: Cond) -> Array: ...


Side = Literal["real", "fake"]


class DiscriminatorOut(NamedTuple):
    """A discriminator's outputs for a batch."""

    logits: Array  # [B]
    features: Array  # [B, F]
    aux: dict[str, Array]  # one entry for each auxiliary head


class SideOutputs(NamedTuple):
    """The discriminator's outputs for one side (real or fake), passed to an auxiliary task."""

    batch: DiscriminatorOut  # for the batch itself
    task_views: DiscriminatorOut | None  # for the task's own extra views
    origin: Origin | None = None  # of the batch, for tasks with `AuxTask.uses_origin`


class LossPair(NamedTuple):
    """The losses of discriminator and generator. Pairs can be added."""

    d: Array
    g: Array

    def __add__(self, other: "LossPair") -> "LossPair":  # type: ignore[override]
        return LossPair(self.d + other.d, self.g + other.g)

    def scaled(self, d: float | Array, g: float | Array) -> "LossPair":
        return LossPair(d * self.d, g * self.g)


class GanLoss(Protocol):
    """Maps real and fake logits, each [B], to the losses of both players."""

    def __call__(self, real_logits: Array, fake_logits: Array) -> LossPair: ...


class Augment(Protocol):
    """Augments an image [H, W, C] in [0, 1] at random, differentiably, with probability p.

    The result need not stay in [0, 1]. All randomness comes from the key. An augmentation that not all images
    allow is a `core.augmentation.CheckedAugment`.
    """

    def __call__(self, key: Array, image: Array, p: Array | float) -> Array: ...


@runtime_checkable
class ParametricAugment(Augment, Protocol):
    """An augmentation that tells what it does."""

    def parameters(self, key: Array, image: Array) -> dict[str, Array]:
        """What it draws from the key with probability 1, by operation: vectors with values in [0, 1]."""


class Logits(NamedTuple):
    """What adaptive parts of training see of a batch."""

    real: Array  # [B]
    fake: Array  # [B]
    step: Array | int  # number of generator updates so far


class GeneratorWeights(Protocol):
    """Weights [B] of generated images in the generator's loss, with a mean of 1."""

    def __call__(self, logits: Logits) -> Array: ...


@dataclasses.dataclass(frozen=True)
class PenaltyInputs:
    """The inputs of a penalty. With gradient accumulation they are those of one microbatch."""

    discriminator: Callable[[Array], Array]  # images [B, H, W, C] -> logits [B], with the real labels
    params: Tree
    real: Array  # [B, H, W, C]
    fake: Array  # [B, H, W, C]
    rng: Array
    part: Array | int = 0  # index of the microbatch: images part, part + parts, part + 2 parts, ...
    parts: int = 1  # number of microbatches
    step: Array | int = 0  # number of generator updates so far

    def uniform(self, *shape: int) -> Array:
        """Noise `[B, *shape]` in [0, 1); an image gets the same noise with and without microbatches."""
        noise = jax.random.uniform(self.rng, (len(self.real) * self.parts, *shape))
        return noise.reshape(-1, self.parts, *shape)[:, self.part]


Penalty = Callable[[PenaltyInputs], Array]


@struct.dataclass
class NetState:
    """The arrays of one network."""

    params: Tree  # trained by the optimiser
    extra: Tree  # non-trainable state: batch statistics, spectral vectors


@struct.dataclass
class GANState:
    """The complete training state, which is what a checkpoint stores.

    >>> gan = cg.presets.small(cg.ImageSpec((8, 8, 1)))
    >>> state = jax.eval_shape(gan.init, jax.random.key(0))
    >>> state.step.dtype, state.d_opt.count.shape
    (dtype('int32'), ())
    """

    step: Array  # number of generator updates
    g: NetState
    d: NetState
    g_opt: optax.OptState
    d_opt: optax.OptState
    g_ema: Tree | None
    adaptive: dict[str, dict[str, Array]] = struct.field(default_factory=dict)  # see `core.adaptive`

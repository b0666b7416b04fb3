"""The data that flows through the library.

Shape letters: B batch, H W C image, Z latent, K classes, F features.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import optax
from flax import struct

Array = jax.Array
Tree = Any  # a pytree of arrays, here always nested dictionaries
Metrics = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """What a data set tells a network about itself."""

    image_shape: tuple[int, int, int]  # H, W, C
    num_classes: int = 0


class Batch(NamedTuple):
    """What the data pipeline yields."""

    images: Array  # [B, H, W, C], uint8 in [0, 255] or float in [0, 1]
    labels: Array  # [B] class indices, -1 = unlabelled; or [B, K] soft labels


class Labeled(NamedTuple):
    """Images with their (soft or one-hot) labels, as a discriminator sees them."""

    images: Array  # [B, H, W, C] in [0, 1]
    y: Array | None  # [B, K]; an all-zero row means "no label"


class Cond(NamedTuple):
    """What may condition a layer; blocks pass it on untouched."""

    z: Any = None  # [B, Z] or None; who uses it has checked that it is there
    y: Any = None  # [B, K] or None
    train: bool = False
    accumulate: bool = False  # this batch joins accumulated batch statistics
    remat: bool = False  # blocks keep nothing for the gradient but what they were given


class Norm(Protocol):
    """Normalises x [B, ..., C], under a condition or not; the shape stays."""

    def __call__(self, x: Array, cond: Cond) -> Array: ...


class DiscriminatorOut(NamedTuple):
    """What a discriminator says of a batch."""

    logits: Array  # [B]
    features: Array  # [B, F]
    aux: dict[str, Array]  # one entry for each auxiliary head


class SideOutputs(NamedTuple):
    """What the discriminator said of one side (real or fake), as an auxiliary task sees it."""

    base: DiscriminatorOut  # the batch itself
    extra: DiscriminatorOut | None  # the task's own extra views, never another task's


class LossPair(NamedTuple):
    """The losses of the two players. Pairs add."""

    d: Array
    g: Array

    def __add__(self, other: "LossPair") -> "LossPair":  # type: ignore[override]
        return LossPair(self.d + other.d, self.g + other.g)

    def scaled(self, d: float, g: float) -> "LossPair":
        return LossPair(d * self.d, g * self.g)


class GanLoss(Protocol):
    """Real and fake logits, each [B], to the losses of the two players."""

    def __call__(self, real_logits: Array, fake_logits: Array) -> LossPair: ...


@dataclasses.dataclass(frozen=True)
class PenaltyInputs:
    """All that a penalty may look at."""

    discriminator: Callable[[Array], Array]  # images [B, H, W, C] -> logits [B]; the labels are bound
    params: Tree
    real: Array  # [B, H, W, C]
    fake: Array  # [B, H, W, C]
    rng: Array
    part: Array | int = 0  # the images are every `parts`-th of a larger batch, from this one on
    parts: int = 1

    def uniform(self, *shape: int) -> Array:
        """Noise [B, *shape] in [0, 1), for an image the same whether its batch comes whole or in parts."""
        whole = jax.random.uniform(self.rng, (len(self.real) * self.parts, *shape))
        return whole.reshape(-1, self.parts, *shape)[:, self.part]


Penalty = Callable[[PenaltyInputs], Array]


@struct.dataclass
class NetState:
    """The arrays of one network."""

    params: Tree  # trained by the optimiser
    extra: Tree  # batch statistics, spectral vectors


@struct.dataclass
class GANState:
    """All that training changes, and so all that a checkpoint holds."""

    step: Array  # generator updates done
    g: NetState
    d: NetState
    g_opt: optax.OptState
    d_opt: optax.OptState
    g_ema: Tree | None

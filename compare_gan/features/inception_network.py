"""Inception-v3 (Szegedy et al., https://arxiv.org/abs/1512.00567) as in the TensorFlow graph of December
2015, which defines Inception scores and FIDs.

The graph differs from the paper: it has 1008 classes; average pooling excludes the padding; the last block
uses max pooling instead of average pooling; batch norms have no scale and an epsilon of 1e-3. Scores are
comparable only if all of this is reproduced.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from compare_gan.core.types import Array
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.features.convolution import PRECISION, FoldedConv, conv_shapes, load_convs

CLASSES = 1008
EPSILON = 1e-3  # of batch norms

Step = Callable[[int], Any]  # maps the number of input channels to a module with an output `width`


class ConvUnit(FoldedConv):
    """A convolution with folded batch norm, and ReLU."""

    def __init__(self, name: str, width: int, size: tuple[int, int], stride: int, padding: str, c_in: int):
        names = (f"{name}.conv", f"{name}.bn")
        super().__init__(names, c_in, width, size, stride, padding, epsilon=EPSILON)
        self.width = width

    def __call__(self, x: Array) -> Array:
        return nnx.relu(super().__call__(x))


class MaxPool(nnx.Module):
    """3x3 max pooling."""

    def __init__(self, stride: int, c_in: int):
        self.stride, self.width = stride, c_in

    def __call__(self, x: Array) -> Array:
        padding = "SAME" if self.stride == 1 else "VALID"
        return lax.reduce_window(
            x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, self.stride, self.stride, 1), padding
        )


class AvgPool(nnx.Module):
    """3x3 average pooling that excludes the padding."""

    def __init__(self, c_in: int):
        self.width = c_in

    def __call__(self, x: Array) -> Array:
        def total(values: Array) -> Array:
            return lax.reduce_window(values, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

        return total(x) / total(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


class Sequential(nnx.Module):
    """Applies modules in sequence."""

    def __init__(self, steps: Sequence[Step], c_in: int):
        modules, self.width = [], c_in
        for step in steps:
            modules.append(step(self.width))
            self.width = modules[-1].width
        self.steps = nnx.List(modules)

    def __call__(self, x: Array) -> Array:
        for step in self.steps:
            x = step(x)
        return x


class Branches(nnx.Module):
    """Parallel branches with concatenated channels."""

    def __init__(self, chains: Sequence[Sequence[Step]], c_in: int):
        self.chains = nnx.List([Sequential(steps, c_in) for steps in chains])
        self.width = sum(chain.width for chain in self.chains)

    def __call__(self, x: Array) -> Array:
        return jnp.concatenate([chain(x) for chain in self.chains], axis=-1)


def unit(
    name: str, width: int, size: tuple[int, int] = (1, 1), stride: int = 1, padding: str | None = None
) -> Step:
    """A `ConvUnit`. Default padding: "SAME" for stride 1, otherwise "VALID"."""
    return functools.partial(
        ConvUnit, name, width, size, stride, padding or ("SAME" if stride == 1 else "VALID")
    )


def branches(*chains: Sequence[Step]) -> Step:
    return functools.partial(Branches, chains)


# The blocks of figures 5, 6 and 7 of the paper, and the reduction blocks between them. Units are named as in
# the weights files.


def figure5(block: str, pooled: int) -> Step:
    b = f"{block}.branch"
    return branches(
        [unit(f"{b}1x1", 64)],
        [unit(f"{b}5x5_1", 48), unit(f"{b}5x5_2", 64, (5, 5))],
        [unit(f"{b}3x3dbl_1", 64), unit(f"{b}3x3dbl_2", 96, (3, 3)), unit(f"{b}3x3dbl_3", 96, (3, 3))],
        [AvgPool, unit(f"{b}_pool", pooled)],
    )


def figure6(block: str, width: int) -> Step:
    b, row, column = f"{block}.branch", (1, 7), (7, 1)
    return branches(
        [unit(f"{b}1x1", 192)],
        [unit(f"{b}7x7_1", width), unit(f"{b}7x7_2", width, row), unit(f"{b}7x7_3", 192, column)],
        [
            unit(f"{b}7x7dbl_1", width),
            unit(f"{b}7x7dbl_2", width, column),
            unit(f"{b}7x7dbl_3", width, row),
            unit(f"{b}7x7dbl_4", width, column),
            unit(f"{b}7x7dbl_5", 192, row),
        ],
        [AvgPool, unit(f"{b}_pool", 192)],
    )


def figure7(block: str, pool: Step) -> Step:
    b, row, column = f"{block}.branch", (1, 3), (3, 1)
    return branches(
        [unit(f"{b}1x1", 320)],
        [unit(f"{b}3x3_1", 384), branches([unit(f"{b}3x3_2a", 384, row)], [unit(f"{b}3x3_2b", 384, column)])],
        [
            unit(f"{b}3x3dbl_1", 448),
            unit(f"{b}3x3dbl_2", 384, (3, 3)),
            branches([unit(f"{b}3x3dbl_3a", 384, row)], [unit(f"{b}3x3dbl_3b", 384, column)]),
        ],
        [pool, unit(f"{b}_pool", 192)],
    )


def reduced_to_17(block: str) -> Step:
    b = f"{block}.branch"
    return branches(
        [unit(f"{b}3x3", 384, (3, 3), 2)],
        [unit(f"{b}3x3dbl_1", 64), unit(f"{b}3x3dbl_2", 96, (3, 3)), unit(f"{b}3x3dbl_3", 96, (3, 3), 2)],
        [functools.partial(MaxPool, 2)],
    )


def reduced_to_8(block: str) -> Step:
    b = f"{block}.branch"
    return branches(
        [unit(f"{b}3x3_1", 192), unit(f"{b}3x3_2", 320, (3, 3), 2)],
        [
            unit(f"{b}7x7x3_1", 192),
            unit(f"{b}7x7x3_2", 192, (1, 7)),
            unit(f"{b}7x7x3_3", 192, (7, 1)),
            unit(f"{b}7x7x3_4", 192, (3, 3), 2),
        ],
        [functools.partial(MaxPool, 2)],
    )


SPATIAL_BLOCK, SPATIAL_CHANNELS = 13, 7  # of sFID: the index of Mixed_6d in TRUNK
TRUNK: tuple[Step, ...] = (
    unit("Conv2d_1a_3x3", 32, (3, 3), 2),
    unit("Conv2d_2a_3x3", 32, (3, 3), padding="VALID"),
    unit("Conv2d_2b_3x3", 64, (3, 3)),
    functools.partial(MaxPool, 2),
    unit("Conv2d_3b_1x1", 80),
    unit("Conv2d_4a_3x3", 192, (3, 3), padding="VALID"),
    functools.partial(MaxPool, 2),
    figure5("Mixed_5b", 32),
    figure5("Mixed_5c", 64),
    figure5("Mixed_5d", 64),
    reduced_to_17("Mixed_6a"),
    figure6("Mixed_6b", 128),
    figure6("Mixed_6c", 160),
    figure6("Mixed_6d", 160),
    figure6("Mixed_6e", 192),
    reduced_to_8("Mixed_7a"),
    figure7("Mixed_7b", AvgPool),
    figure7("Mixed_7c", functools.partial(MaxPool, 1)),
)


class Network(nnx.Module):
    """Maps images [B, 299, 299, 3] in [-1, 1] to features [B, 2048] (pool_3 in TensorFlow) and logits."""

    def __init__(self) -> None:
        self.trunk = Sequential(TRUNK, 3)
        self.head = nnx.Param(jnp.zeros((self.trunk.width, CLASSES), jnp.float32))

    def __call__(self, x: Array) -> FeaturesAndClasses:
        """Logits omit the bias, as in all published Inception scores since the first one,
        see https://github.com/openai/improved-gan/issues/39."""
        features = self.trunk(x).mean((1, 2))
        return FeaturesAndClasses(features, jnp.matmul(features, self.head[...], precision=PRECISION))

    def spatial(self, x: Array) -> Array:
        """Maps images to the features [B, 17 * 17 * 7] of sFID: the first channels of the 1x1 convolution of
        Mixed_6d, mixed_6/conv in TensorFlow, as in https://github.com/openai/guided-diffusion."""
        for step in self.trunk.steps[:SPATIAL_BLOCK]:
            x = step(x)
        x = self.trunk.steps[SPATIAL_BLOCK].chains[0](x)
        return x[..., :SPATIAL_CHANNELS].reshape(len(x), -1)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights that `load` reads."""
        return conv_shapes(self) | {"fc.weight": self.head.shape[::-1]}

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        load_convs(self, weights)
        self.head = nnx.Param(jnp.asarray(weights["fc.weight"].T))

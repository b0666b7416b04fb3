"""Pre-activation residual networks: He et al., https://arxiv.org/abs/1603.05027.

Normalisation and ReLU precede each convolution. A `Body` describes a network, from a few blocks for 8x8
images to ResNet-50.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.types import Array, Cond
from compare_gan.nn.blocks import activate
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.norms import BatchNorm
from compare_gan.nn.options import Layers, StandardizeBatch

LAYERS = Layers(batch=StandardizeBatch(decay=0.9, epsilon=1e-5))


@dataclasses.dataclass(frozen=True)
class Stage:
    """Blocks of the same width; the first one has the stride."""

    width: int  # output channels
    blocks: int = 1
    stride: int = 2


@dataclasses.dataclass(frozen=True)
class Body:
    """The architecture between pixels and features."""

    stem_width: int
    stages: tuple[Stage, ...]
    stem_size: int = 3  # kernel size of the first convolution
    stem_stride: int = 1
    pool: bool = False  # 3x3 max pooling with stride 2 after the stem
    bottleneck: bool = False  # blocks of three convolutions with a quarter of the width inside

    @property
    def feature_dim(self) -> int:
        return self.stages[-1].width if self.stages else self.stem_width


def small(image_shape: tuple[int, int, int], width: int) -> Body:
    """One block per halving down to 2 pixels a side, at most 4; each doubles the width."""
    side, stages = min(image_shape[:2]), list[Stage]()
    while side >= 4 and len(stages) < 4:
        side, stages = -(-side // 2), [*stages, Stage(width << len(stages) + 1)]
    return Body(width, tuple(stages))


def halved(image_shape: tuple[int, int, int], width: int) -> Body:
    """Three resolutions, starting at half the image size: cheap on a CPU for 32x32 images."""
    del image_shape
    return Body(width, (Stage(2 * width), Stage(4 * width)), stem_size=4, stem_stride=2)


def halved_deep(image_shape: tuple[int, int, int], width: int) -> Body:
    """As `halved`, but blocks that halve down to 4 pixels a side, each twice as wide: for 64x64 and more."""
    side, stages = -(-min(image_shape[:2]) // 2), list[Stage]()
    while side > 4:
        side, stages = -(-side // 2), [*stages, Stage(width << len(stages) + 1)]
    return Body(width, tuple(stages), stem_size=4, stem_stride=2)


def wide28(image_shape: tuple[int, int, int], width: int) -> Body:
    """28 layers for 32x32 images; with width 16 k it is the WRN-28-k of
    https://arxiv.org/abs/1605.07146."""
    del image_shape
    return Body(16, (Stage(width, 4, stride=1), Stage(2 * width, 4), Stage(4 * width, 4)))


def resnet50(image_shape: tuple[int, int, int], width: int) -> Body:
    """ResNet-50 v2 at width 64, for images of about 200 pixels a side."""
    del image_shape
    stages = (
        Stage(4 * width, 3, stride=1),
        Stage(8 * width, 4),
        Stage(16 * width, 6),
        Stage(32 * width, 3),
    )
    return Body(width, stages, stem_size=7, stem_stride=2, pool=True, bottleneck=True)


BODIES: dict[str, Callable[[tuple[int, int, int], int], Body]] = {
    "small": small,
    "halved": halved,
    "halved_deep": halved_deep,
    "wide28": wide28,
    "resnet50": resnet50,
}


class Block(nnx.Module):
    """A residual block of two or, with a bottleneck, three convolutions; 1x1 projection if shapes differ."""

    def __init__(self, make: LayerFactory, c_in: int, c_out: int, stride: int, bottleneck: bool):
        c_mid = c_out // 4 if bottleneck else c_out
        self.norm1, self.norm2 = BatchNorm(c_in, make.layers), BatchNorm(c_mid, make.layers)
        self.norm3 = BatchNorm(c_mid, make.layers) if bottleneck else None
        if bottleneck:
            self.conv1 = make.conv(c_in, c_mid, size=1, bias=None)
            self.conv2 = make.conv(c_mid, c_mid, stride=stride, bias=None)
        else:
            self.conv1 = make.conv(c_in, c_mid, stride=stride, bias=None)
            self.conv2 = make.conv(c_mid, c_out, bias=None)
        self.conv3 = make.conv(c_mid, c_out, size=1, bias=None) if bottleneck else None
        fits = stride == 1 and c_in == c_out
        self.shortcut = None if fits else make.conv(c_in, c_out, size=1, stride=stride, bias=None)

    def __call__(self, x: Array, cond: Cond) -> Array:
        h = activate(x, self.norm1, cond)
        train = cond.train
        shortcut = x if self.shortcut is None else self.shortcut(h, train=train)
        h = self.conv2(activate(self.conv1(h, train=train), self.norm2, cond), train=train)
        if self.conv3 is not None:
            h = self.conv3(activate(h, self.norm3, cond), train=train)
        return shortcut + h


class ResNet(nnx.Module):
    """Maps images [B, H, W, C] to features [B, F]."""

    def __init__(self, channels: int, body: Body, rngs: nnx.Rngs, layers: Layers = LAYERS):
        make = LayerFactory(layers, rngs, initializer=nnx.initializers.he_normal())
        self.stem = make.conv(
            channels, body.stem_width, size=body.stem_size, stride=body.stem_stride, bias=None
        )
        self.pool, blocks, width = body.pool, [], body.stem_width
        for stage in body.stages:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(Block(make, width, stage.width, stride, body.bottleneck))
                width = stage.width
        self.blocks, self.norm = nnx.List(blocks), BatchNorm(width, layers)

    def features(self, x: Array, cond: Cond) -> Array:
        x = self.stem(x, train=cond.train)
        if self.pool:
            x = nnx.max_pool(x, (3, 3), (2, 2), "SAME")
        for block in self.blocks:
            x = block(x, cond)
        return activate(x, self.norm, cond).mean((1, 2), dtype=jnp.float32)

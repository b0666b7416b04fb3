"""A small residual network that turns images into features, and its file.

Used in two places: pre-trained without labels it is where the few-labels pipeline starts;
trained with all labels it is what scores are measured with. Blocks as in He et al.,
https://arxiv.org/abs/1603.05027 (normalisation and relu before each convolution).
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.types import Array, Cond, NetState
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import Images
from compare_gan.nn.blocks import activate
from compare_gan.nn.images import TURNS
from compare_gan.nn.layers import Conv, Linear
from compare_gan.nn.norms import BatchNorm
from compare_gan.nn.options import Layers, StandardizeBatch
from compare_gan.nn.state import bind, net_state

LAYERS = Layers(batch=StandardizeBatch(decay=0.9, epsilon=1e-5))


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """What is needed to build an encoder and to read its answers."""

    image_shape: tuple[int, int, int]  # H, W, C
    classes: tuple[str, ...]  # what the class head tells apart
    width: int = 32

    @property
    def widths(self) -> list[int]:
        """Channels after the first layer and after each halving; the last is 2 to 4 pixels a side."""
        size, widths = min(self.image_shape[:2]), [self.width]
        while size >= 4 and len(widths) < 5:
            size, widths = -(-size // 2), [*widths, 2 * widths[-1]]
        return widths

    @property
    def feature_dim(self) -> int:
        return self.widths[-1]


class EncoderOut(NamedTuple):
    """What an encoder says of a batch."""

    features: Any  # [B, F], of JAX inside a step and of NumPy outside, like the others
    turns: Any  # [B, 4] logits: by how many quarter turns the image was rotated
    classes: Any  # [B, K] logits


class Block(nnx.Module):
    """Two convolutions, the first of stride 2, beside a 1x1 shortcut."""

    def __init__(self, c_in, c_out, rngs):
        shared = dict(layers=LAYERS, bias=None, initializer=nnx.initializers.he_normal(), rngs=rngs)
        self.norm1, self.norm2 = BatchNorm(c_in, LAYERS), BatchNorm(c_out, LAYERS)
        self.conv1 = Conv(c_in, c_out, stride=2, **shared)
        self.conv2 = Conv(c_out, c_out, **shared)
        self.shortcut = Conv(c_in, c_out, size=1, stride=2, **shared)

    def __call__(self, x: Array, cond: Cond) -> Array:
        h = activate(x, self.norm1, cond)
        return self.shortcut(h) + self.conv2(activate(self.conv1(h), self.norm2, cond))


class Encoder(nnx.Module):
    """Images [B, H, W, C] in [0, 1] -> features, and two linear heads on them."""

    def __init__(self, spec: EncoderSpec, rngs: nnx.Rngs):
        widths = spec.widths
        he = nnx.initializers.he_normal()
        self.stem = Conv(spec.image_shape[-1], widths[0], layers=LAYERS, bias=None, initializer=he, rngs=rngs)
        self.blocks = nnx.List([Block(a, b, rngs) for a, b in zip(widths[:-1], widths[1:], strict=True)])
        self.norm = BatchNorm(widths[-1], LAYERS)
        self.turns = Linear(widths[-1], TURNS, layers=LAYERS, rngs=rngs)
        self.classes = Linear(widths[-1], len(spec.classes), layers=LAYERS, rngs=rngs)

    def __call__(self, x: Array, *, train: bool = False) -> EncoderOut:
        cond = Cond(train=train)
        x = self.stem(2 * x - 1)
        for block in self.blocks:
            x = block(x, cond)
        features = activate(x, self.norm, cond).mean((1, 2))
        return EncoderOut(features, self.turns(features), self.classes(features))


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """An encoder with its weights, for NumPy images."""

    spec: EncoderSpec
    net: NetState
    name: str = "encoder"
    sha256: str = ""  # of the file it was read from

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.spec.classes

    def __call__(self, images: Images, batch_size: int = 500) -> EncoderOut:
        """uint8 images [N, H, W, C] -> NumPy arrays.

        Raises:
          UserError: the images are not of the size it was made for.
        """
        if images.shape[1:] != self.spec.image_shape:
            raise UserError(f"{self.name}: made for images {self.spec.image_shape}, got {images.shape[1:]}")
        apply, parts = _compiled(self.spec), []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            padding = np.zeros((batch_size - len(batch), *batch.shape[1:]), batch.dtype)  # one compiled shape
            out = apply(self.net, np.concatenate([batch, padding]))
            parts.append(jax.tree.map(lambda x: np.asarray(x)[: len(batch)], out))  # noqa: B023
        return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)

    def save(self, path: Path, provenance: dict[str, Any]) -> None:
        """Writes weights, shape and where they come from; equal weights give equal bytes."""
        tree = {"params": self.net.params, "extra": self.net.extra}
        arrays = {_name(keys): np.asarray(leaf) for keys, leaf in jax.tree.leaves_with_path(tree)}
        about = json.dumps(dataclasses.asdict(self.spec) | {"provenance": provenance}, sort_keys=True)
        with atomic(path) as file:
            np.savez(file, about=np.array(about), **arrays)  # type: ignore[arg-type]


def load_encoder(path: Path, name: str | None = None) -> TrainedEncoder:
    """Reads what `TrainedEncoder.save` wrote.

    Raises:
      UserError: not such a file, or a damaged one.
    """
    arrays = plain_arrays(path)
    try:
        about = json.loads(str(arrays.pop("about")))
        spec = EncoderSpec(tuple(about["image_shape"]), tuple(about["classes"]), about["width"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}: not an encoder; make one with compare-gan classifier or few-labels"
        ) from None
    shapes = nnx.eval_shape(lambda: net_state(Encoder(spec, nnx.Rngs(0))))
    tree = {"params": shapes.params, "extra": shapes.extra}
    wanted = {_name(keys): leaf.shape for keys, leaf in jax.tree.leaves_with_path(tree)}
    if wanted != {key: value.shape for key, value in arrays.items()}:
        raise UserError(f"{path}: its weights do not fit its own description; the file is damaged or too old")
    tree = jax.tree.map_with_path(lambda keys, _: arrays[_name(keys)], tree)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TrainedEncoder(spec, NetState(tree["params"], tree["extra"]), name or path.stem, digest)


def _name(keys: tuple) -> str:
    return "/".join(str(key.key) for key in keys)


@functools.cache
def _compiled(spec: EncoderSpec) -> Any:
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder(spec, nnx.Rngs(0))))

    def apply(net: NetState, images: Array) -> EncoderOut:
        return bind(definition, net.params, net.extra)(images.astype(jnp.float32) / 255)

    return jax.jit(apply)

"""A residual feature extractor and its file format.

It has two uses: pre-trained without labels, it is the starting point of the few-labels pipeline; trained
with all labels, it scores generated images.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core import records
from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.files import atomic, sha256_of
from compare_gan.core.schema import parse_json
from compare_gan.core.types import Array, Cond, NetState
from compare_gan.data.arrays import plain_arrays
from compare_gan.data.base import Images
from compare_gan.features.base import on_all_devices
from compare_gan.features.resnet import BODIES, LAYERS, Body, ResNet
from compare_gan.nn.images import TURNS
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import Layers
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import merge_module, net_state

BATCH_PIXELS = 500 * 64**2  # default batch size, in pixels


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """The architecture of an encoder, and the names of its classes."""

    image_shape: tuple[int, int, int]  # H, W, C
    classes: tuple[str, ...]  # of the class head
    width: int = 32
    body: str = "small"

    def __post_init__(self):
        if self.body not in BODIES:
            raise UserError(f"no encoder is called {self.body!r}{did_you_mean(self.body, BODIES)}")

    @property
    def layout(self) -> Body:
        return BODIES[self.body](self.image_shape, self.width)

    @property
    def feature_dim(self) -> int:
        return self.layout.feature_dim


class EncoderOut(NamedTuple):
    """The outputs of an encoder for a batch."""

    features: Any  # [B, F]; all are JAX arrays inside a compiled step, NumPy outside
    turns: Any  # [B, 4] logits: number of quarter turns by which the image was rotated
    classes: Any  # [B, K] logits


class Encoder(ResNet):
    """Maps images [B, H, W, C] in [0, 1] to features and the logits of two linear heads."""

    def __init__(self, spec: EncoderSpec, rngs: nnx.Rngs, layers: Layers = LAYERS):
        super().__init__(spec.image_shape[-1], spec.layout, rngs, layers)
        make = LayerFactory(layers, rngs)
        self.turns = make.linear(spec.feature_dim, TURNS)
        outputs = max(1, len(spec.classes))  # checkpoints cannot store empty arrays
        self.classes = make.linear(spec.feature_dim, outputs)

    def __call__(self, x: Array, *, train: bool = False) -> EncoderOut:
        features = self.features(2 * x - 1, Cond(train=train))
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

    def __call__(self, images: Images, batch_size: int | None = None) -> EncoderOut:
        """Maps uint8 images [N, H, W, C] to NumPy arrays, reading one batch at a time.

        For an encoder of colour images, the channel of grey images is repeated.

        Raises:
          UserError: the images do not match `spec.image_shape`.
        """
        h, w, c = self.spec.image_shape
        if images.shape[1:] not in ((h, w, c), (h, w, 1)):
            expected, actual = (
                "x".join(map(str, shape)) for shape in (self.spec.image_shape, images.shape[1:])
            )
            raise UserError(
                f"the extractor {self.name} expects images of {expected}, got {actual}; set --image_size or "
                "use another --extractor, such as one trained by compare-gan classifier"
            )
        batch_size = batch_size or max(1, min(500, BATCH_PIXELS // (h * w)))
        return on_all_devices(_compiled(self.spec), self.net, images, batch_size, self.name)

    def save(self, path: Path, provenance: dict[str, Any]) -> None:
        """Writes the weights, the spec and the provenance. Equal inputs give equal bytes."""
        tree = {"params": self.net.params, "extra": self.net.extra}
        arrays = {_name(keys): np.asarray(leaf) for keys, leaf in jax.tree.leaves_with_path(tree)}
        about = json.dumps(dataclasses.asdict(self.spec) | {"provenance": provenance}, sort_keys=True)
        with atomic(path) as file:
            np.savez(file, about=np.array(about), **arrays)  # type: ignore[arg-type]


def load_encoder(path: Path, name: str | None = None) -> TrainedEncoder:
    """Reads a file written by `TrainedEncoder.save`.

    Raises:
      UserError: the file is not an encoder, or is damaged.
    """
    arrays = plain_arrays(path)
    try:
        about = parse_json(str(arrays.pop("about")), records.ENCODER)
        shape, classes = tuple(about["image_shape"]), tuple(about["classes"])
        spec = EncoderSpec(shape, classes, about["width"], about.get("body", "small"))
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}: not an encoder; train one with compare-gan classifier or few-labels"
        ) from None
    shapes = nnx.eval_shape(lambda: net_state(Encoder(spec, random_streams(0))))
    tree = {"params": shapes.params, "extra": shapes.extra}
    expected_shapes = {_name(keys): leaf.shape for keys, leaf in jax.tree.leaves_with_path(tree)}
    if expected_shapes != {key: value.shape for key, value in arrays.items()}:
        raise UserError(f"{path}: its weights do not match its spec; the file is damaged or too old")
    tree = jax.tree.map_with_path(lambda keys, _: arrays[_name(keys)], tree)
    digest = sha256_of(path)
    return TrainedEncoder(spec, NetState(tree["params"], tree["extra"]), name or path.stem, digest)


def _name(keys: tuple) -> str:
    return "/".join(str(key.key) for key in keys)


@functools.cache
def _compiled(spec: EncoderSpec) -> Any:
    definition = nnx.graphdef(nnx.eval_shape(lambda: Encoder(spec, random_streams(0))))

    def apply(net: NetState, images: Array) -> EncoderOut:
        images = jnp.broadcast_to(images, (*images.shape[:3], spec.image_shape[2]))
        return merge_module(definition, net.params, net.extra)(images.astype(jnp.float32) / 255)

    return jax.jit(apply)

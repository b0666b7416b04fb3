"""The extractor of Inception scores and FIDs: a network, its weights and a resize."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from compare_gan.core.registry import EXTRACTORS
from compare_gan.core.types import Array, Tree
from compare_gan.data.base import Images
from compare_gan.features.base import FeaturesAndClasses, check_channels, digest, on_all_devices
from compare_gan.features.inception_network import Network
from compare_gan.features.public import INCEPTION
from compare_gan.features.resize import RESIZES
from compare_gan.features.weights import checked, read_weights
from compare_gan.nn.state import merge_module, net_state

SIDE = 299  # input size of the network
BATCH = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Inception:
    """The Inception network with its weights, for images of any size."""

    params: Tree
    sha256: str  # of the weights and the resize
    resize: str = "tf1"  # one of `RESIZES`
    class_names: tuple[str, ...] = ()  # its classes are not those of a data set
    spatial: bool = False  # the features of sFID

    @property
    def name(self) -> str:
        if self.spatial:
            return "inception_spatial"
        return "inception" if self.resize == "tf1" else f"inception_{self.resize}"

    def __call__(self, images: Images, batch_size: int | None = None) -> FeaturesAndClasses:
        """Maps uint8 images [N, H, W, 1 or 3] to features [N, 2048] and logits [N, 1008]; if `spatial`, to
        features [N, 2023] without logits.

        Raises:
          UserError: the images are neither grey nor RGB.
        """
        check_channels(images, self.name)

        def extract_batch(params: Tree, batch: Array) -> FeaturesAndClasses:
            apply = _apply_spatial if self.spatial else _apply
            return apply(params, _preprocess(batch, self.resize))

        return on_all_devices(extract_batch, self.params, images, batch_size or BATCH, self.name)


def inception_of(weights: Mapping[str, np.ndarray], source: str, resize: str = "tf1") -> Inception:
    """Builds the extractor from its weights.

    Args:
      weights: those of `Network.shapes`; others are ignored.
      source: origin of the weights, for error messages.
      resize: one of `RESIZES`.

    Raises:
      UserError: weights are missing or differ in shape.
    """
    net = nnx.eval_shape(Network)
    used = checked(weights, net.shapes(), "the Inception network of 2015", source)
    net.load(used)
    return Inception(net_state(net).params, digest(used, resize), resize)


@EXTRACTORS.register("inception")
def inception() -> Inception:
    """Features [N, 2048] and logits [N, 1008] of images of any size, resized as TensorFlow 1 does."""
    return open_inception(INCEPTION.path())


@EXTRACTORS.register("inception_clean")
def inception_clean() -> Inception:
    """Like `inception`, with the resize of clean-fid: Parmar et al., https://arxiv.org/abs/2104.11222."""
    return open_inception(INCEPTION.path(), "clean")


@EXTRACTORS.register("inception_spatial")
def inception_spatial() -> Inception:
    """Features [N, 2023] of an inner layer, in which the Frechet distance is sFID: Nash et al.,
    https://arxiv.org/abs/2103.03841."""
    return spatial_of(inception())


def spatial_of(extractor: Inception) -> Inception:
    """The same network, with the features of sFID."""
    sha256 = digest({}, extractor.sha256, "spatial")
    return dataclasses.replace(extractor, sha256=sha256, spatial=True)


def open_inception(path: Path, resize: str = "tf1") -> Inception:
    """Opens the extractor from a weights file, see `read_weights`.

    Raises:
      UserError: the file cannot be read, or contains other weights.
    """
    return inception_of(read_weights(path), str(path), resize)


@functools.partial(jax.jit, static_argnames="resize")
def _preprocess(images: Array, resize: str) -> Array:
    """[B, H, W, 1 or 3] uint8 to [B, 299, 299, 3] in [-1, 1]."""
    x = jnp.broadcast_to(images.astype(jnp.float32), (*images.shape[:3], 3))
    return (RESIZES[resize](x, SIDE) - 128) / 128


@jax.jit
def _apply(params: Tree, x: Array) -> FeaturesAndClasses:
    """Separate from the resize, so that it is compiled once for all image sizes."""
    return merge_module(nnx.graphdef(nnx.eval_shape(Network)), params, {})(x)


@jax.jit
def _apply_spatial(params: Tree, x: Array) -> FeaturesAndClasses:
    network = merge_module(nnx.graphdef(nnx.eval_shape(Network)), params, {})
    return FeaturesAndClasses(network.spatial(x), jnp.zeros((len(x), 0)))

"""Feature extractors from public weights: a network, its weights and its preprocessing."""

import dataclasses
import functools
from collections.abc import Hashable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from compare_gan.core.types import Array, Tree
from compare_gan.data.base import Images
from compare_gan.features.base import FeaturesAndClasses, check_channels, digest, on_all_devices
from compare_gan.features.preprocessing import Preprocessing, Resized
from compare_gan.features.weights import Shapes
from compare_gan.nn.state import merge_module


class Architecture(Hashable, Protocol):
    """Describes a network, and how its weights are stored in public files."""

    def network(self) -> Any:
        """A module that maps normalised images [B, H, W, 3] to `FeaturesAndClasses`."""
        ...

    def recognises(self, weights: Mapping[str, np.ndarray]) -> bool:
        """Whether a file seems to be of this network."""
        ...

    def shapes(self) -> Shapes:
        """Names and shapes of the weights that `params` reads."""
        ...

    def used(self, weights: Mapping[str, np.ndarray], what: str, source: str) -> dict[str, np.ndarray]:
        """The weights of `shapes` from a file, whatever their names are there.

        Args:
          what: the network, and `source`: the file, for error messages.

        Raises:
          UserError: weights are missing or differ in shape.
        """
        ...

    def params(self, used: Mapping[str, np.ndarray]) -> Tree:
        """The parameters of `network` from the weights of `used`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A network with its weights, for images of any size."""

    name: str
    architecture: Architecture
    params: Tree
    preprocessing: Preprocessing
    sha256: str  # of the weights and the preprocessing
    batch: int  # images per device and call
    class_names: tuple[str, ...] = ()  # its classes are not those of a data set

    def __call__(self, images: Images, batch_size: int | None = None) -> FeaturesAndClasses:
        """Maps uint8 images [N, H, W, 1 or 3] to features [N, F] and logits [N, K]; K = 0 without classes.

        Raises:
          UserError: the images are neither grey nor RGB.
        """
        check_channels(images, self.name)

        def extract_batch(params: Tree, batch: Array) -> FeaturesAndClasses:
            return _apply(params, batch, self.architecture, self.preprocessing)

        resized = Resized(images, self.preprocessing)
        return on_all_devices(extract_batch, self.params, resized, batch_size or self.batch, self.name)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Makes an extractor of weights."""

    name: str
    architecture: Architecture
    preprocessing: Preprocessing
    batch: int

    def extractor(self, weights: Mapping[str, np.ndarray], source: str) -> Pretrained:
        """The extractor of the weights of a file; `source` is its path, for error messages.

        Raises:
          UserError: weights are missing or differ in shape.
        """
        used = self.architecture.used(weights, f"the weights of {self.name}", source)
        sha256 = digest(used, repr(self.preprocessing))
        params = self.architecture.params(used)
        return Pretrained(self.name, self.architecture, params, self.preprocessing, sha256, self.batch)


@functools.partial(jax.jit, static_argnames=("architecture", "preprocessing"))
def _apply(
    params: Tree, images: Array, architecture: Architecture, preprocessing: Preprocessing
) -> FeaturesAndClasses:
    network = merge_module(nnx.graphdef(nnx.eval_shape(architecture.network)), params, {})
    return network(preprocessing.normalise(images))

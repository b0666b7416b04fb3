"""An untrained network, for tests and experiments."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from compare_gan.core.registry import EXTRACTORS
from compare_gan.core.types import Array
from compare_gan.data.base import Images
from compare_gan.features.base import FeaturesAndClasses, check_channels, digest, on_all_devices

BATCH = 256
SHAPES = {"conv1": (5, 5, 3, 32), "conv2": (3, 3, 32, 64), "classes": (64, 10)}


@dataclasses.dataclass(frozen=True, eq=False)
class RandomNetwork:
    """Two convolutions with stride 2 and ReLU, then global average pooling."""

    params: dict[str, np.ndarray]
    sha256: str
    name: str = "random"
    class_names: tuple[str, ...] = ()

    def __call__(self, images: Images, batch_size: int | None = None) -> FeaturesAndClasses:
        """Maps uint8 images [N, H, W, 1 or 3] of any size to features [N, 64] and logits [N, 10].

        Raises:
          UserError: the images are neither grey nor RGB.
        """
        check_channels(images, self.name)
        return on_all_devices(_apply, self.params, images, batch_size or BATCH, self.name)


@EXTRACTORS.register("random")
def random_network() -> RandomNetwork:
    """Features [N, 64] and logits [N, 10] of images of any size, with fixed weights."""
    params = {name: he_uniform(shape, seed) for seed, (name, shape) in enumerate(SHAPES.items())}
    return RandomNetwork(params, digest(params))


def he_uniform(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """He-uniform initialisation, fan-in over all axes but the last: https://arxiv.org/abs/1502.01852.

    Uses raw bits, since the streams of NumPy's distributions may change between versions.
    """
    bits = np.random.PCG64(seed).random_raw(math.prod(shape)).reshape(shape)
    unit = (bits >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - 1  # in [-1, 1)
    return unit * np.float32(math.sqrt(6 / math.prod(shape[:-1])))


@jax.jit
def _apply(params: dict[str, Array], images: Array) -> FeaturesAndClasses:
    x = jnp.broadcast_to(images.astype(jnp.float32) / 127.5 - 1, (*images.shape[:3], 3))
    for name in ("conv1", "conv2"):
        x = jax.nn.relu(
            lax.conv_general_dilated(
                x, params[name], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )
    features = x.mean((1, 2))
    return FeaturesAndClasses(features, features @ params["classes"])

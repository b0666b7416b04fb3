"""The feature extractor protocol, and shared helpers.

Shape letters: N images, B a batch of them, H W C image, F features, K classes.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.core.progress import Progress
from compare_gan.core.types import Array, Tree
from compare_gan.data.base import Images


class Extracted(Protocol):
    """The outputs of an extractor, all that metrics depend on."""

    @property
    def features(self) -> Any: ...  # [N, F]

    @property
    def classes(self) -> Any: ...  # [N, K] logits; K = 0 without classes


class FeaturesAndClasses(NamedTuple):
    """The simplest `Extracted`."""

    features: Any  # [N, F], JAX arrays inside a compiled step, NumPy outside
    classes: Any  # [N, K] logits


class Extractor(Protocol):
    """A fixed network that maps images to features, used to score generated images.

    Features of an image do not depend on other images, so a large set may be processed in chunks.
    """

    @property
    def name(self) -> str: ...  # human-readable; includes the resize method if there are several

    @property
    def sha256(self) -> str: ...  # of the weights and everything else that determines the features

    @property
    def class_names(self) -> tuple[str, ...]: ...  # names of the logits; empty: no classes, or unknown

    def __call__(self, images: Images, batch_size: int | None = None) -> Extracted:
        """Maps uint8 images [N, H, W, C] to NumPy arrays, reading one batch at a time.

        Raises:
          UserError: the extractor does not support images of this size.
        """
        ...


def in_batches(extract_batch: Callable[[np.ndarray], Any], images: Images, batch_size: int, name: str) -> Any:
    """Applies `extract_batch` to all images, in batches of constant shape [batch_size, H, W, C].

    The next batch is read while a device processes the current one.

    Args:
      extract_batch: maps a batch to a tuple of arrays [batch_size, ...].
      images: [N, H, W, C].
      batch_size: images per call; the last batch is padded with zeros.
      name: label of the progress bar.

    Returns:
      The tuple of concatenated NumPy arrays [N, ...].
    """
    progress = Progress(name, len(images), unit="images", show_after_s=5.0)
    parts: list[Any] = []
    pending = None
    for start in range(0, max(len(images), 1), batch_size):
        batch = images[start : start + batch_size]
        padding = np.zeros((batch_size - len(batch), *batch.shape[1:]), batch.dtype)
        outputs = extract_batch(np.concatenate([batch, padding]))
        if pending is not None:
            parts.append(jax.tree.map(np.asarray, pending))
            progress.update(start, {})
        pending = outputs
    count = len(images) - batch_size * len(parts)
    parts.append(jax.tree.map(lambda x: np.asarray(x)[:count], pending))
    progress.update(len(images), {})
    return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)


def on_all_devices(
    apply: Callable[[Tree, Array], Any], weights: Tree, images: Images, batch_size: int, name: str
) -> Any:
    """`in_batches` of a compiled `apply(weights, batch)`, with `batch_size` images per device.

    With several processes, all must call this with the same images, and all get the full result.
    """
    placement = Placement.create()
    weights = placement.replicate(weights)

    def extract_batch(batch: np.ndarray) -> Any:
        return placement.gather(apply(weights, placement.split(batch)))

    return in_batches(extract_batch, images, batch_size * placement.mesh.size, name)


def check_channels(images: Images, name: str) -> None:
    """Checks that images [N, H, W, C] are grey or RGB.

    Raises:
      UserError: there are neither 1 nor 3 channels.
    """
    if images.shape[3] not in (1, 3):
        raise UserError(f"{name}: expected grey or RGB images, got {images.shape[3]} channels")


def digest(arrays: Mapping[str, np.ndarray], *more: str) -> str:
    """SHA-256 of named arrays and strings, independent of the file format."""
    total = hashlib.sha256("\0".join(more).encode())
    for name, value in sorted(arrays.items()):
        total.update(f"\0{name} {value.dtype.str} {value.shape}\0".encode())
        total.update(np.ascontiguousarray(value).data)
    return total.hexdigest()

"""What a feature extractor is, and what any of them needs.

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
    """What an extractor says of images; metrics look at nothing else."""

    @property
    def features(self) -> Any: ...  # [N, F]

    @property
    def classes(self) -> Any: ...  # [N, K] logits; K is 0 where no classes are known


class FeaturesAndClasses(NamedTuple):
    """The plain `Extracted`."""

    features: Any  # [N, F], of JAX inside a step and of NumPy outside
    classes: Any  # [N, K] logits


class Extractor(Protocol):
    """A fixed network that turns images into features, to score generated images with.

    A function of each image alone: features of parts of a set are parts of its features, so whoever does
    not want all of them at once asks for some of the images at a time.
    """

    @property
    def name(self) -> str: ...  # for people; says how images are resized where there is a choice

    @property
    def sha256(self) -> str: ...  # of the weights and of all else that the features depend on

    @property
    def class_names(self) -> tuple[str, ...]: ...  # what the logits are of; empty: nothing, or not known

    def __call__(self, images: Images, batch_size: int | None = None) -> Extracted:
        """uint8 images [N, H, W, C] to NumPy arrays. They are read a batch at a time.

        Raises:
          UserError: it does not take images of this size.
        """
        ...


def in_batches(see: Callable[[np.ndarray], Any], images: Images, batch_size: int, name: str) -> Any:
    """What `see` makes of all images, given batches [batch_size, H, W, C] of one size only.

    The next batch is read while a device is busy with the last one.

    Args:
      see: from a batch to a tuple of arrays [batch_size, ...].
      name: what to call the work, should it take long.

    Returns:
      Such a tuple of NumPy arrays [N, ...].
    """
    progress = Progress(name, len(images), unit="images", show_after_s=5.0)
    parts: list[Any] = []
    pending = None
    for start in range(0, max(len(images), 1), batch_size):
        batch = images[start : start + batch_size]
        missing = np.zeros((batch_size - len(batch), *batch.shape[1:]), batch.dtype)
        seen = see(np.concatenate([batch, missing]))
        if pending is not None:
            parts.append(jax.tree.map(np.asarray, pending))
            progress.update(start, {})
        pending = seen
    count = len(images) - batch_size * len(parts)
    parts.append(jax.tree.map(lambda x: np.asarray(x)[:count], pending))
    progress.update(len(images), {})
    return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)


def on_all_devices(
    apply: Callable[[Tree, Array], Any], weights: Tree, images: Images, batch_size: int, name: str
) -> Any:
    """`in_batches` of a compiled `apply(weights, batch)`, of which each device gets `batch_size` images.

    Where there are several processes all of them take part, with the same images, and all get everything.
    """
    placement = Placement.create()
    weights = placement.replicate(weights)

    def see(batch: np.ndarray) -> Any:
        return placement.gather(apply(weights, placement.split(batch)))

    return in_batches(see, images, batch_size * placement.mesh.size, name)


def check_channels(images: Images, name: str) -> None:
    """Checks that images [N, H, W, C] are grey or RGB.

    Raises:
      UserError: they are not.
    """
    if images.shape[3] not in (1, 3):
        raise UserError(f"{name}: wants grey or RGB images, got {images.shape[3]} channels")


def digest(arrays: Mapping[str, np.ndarray], *more: str) -> str:
    """SHA-256 of named arrays and words, whatever the kind of file that they come from."""
    total = hashlib.sha256("\0".join(more).encode())
    for name, value in sorted(arrays.items()):
        total.update(f"\0{name} {value.dtype.str} {value.shape}\0".encode())
        total.update(np.ascontiguousarray(value).data)
    return total.hexdigest()

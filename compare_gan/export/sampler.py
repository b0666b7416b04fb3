"""Drawing images from a generator that is a program: one way for runs and for exports of them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.pictures import to_uint8

BATCH, BATCH_PIXELS = 500, 500 * 64**2  # of images drawn at once: their largest number, and pixels


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A generator, and where its latent vectors come from."""

    latents: Callable[..., Any]  # seed, numbers [B] -> z [B, Z]
    generator: Callable[..., Any]  # z [B, Z], and y [B, K] if there are classes -> images [B, H, W, C]
    class_names: tuple[str, ...]  # empty if the generator takes no label
    image_shape: tuple[int, int, int]  # H, W, C

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def batches(
        self, count: int, seed: int, classes: Sequence[int] | None = None, truncation: float = 1.0
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """`count` images [b, H, W, C] uint8, classes in turn, and their labels [b] or None, some at a time.

        The latent vector of an image depends on the seed and its number alone.

        Args:
          count: how many images in all.
          seed: of the latent vectors.
          classes: indices of the classes to draw; None: all.
          truncation: what latent vectors are multiplied by.

        Raises:
          UserError: the seed is out of range, or pixels are NaN or infinite.
        """
        if not 0 <= seed < 2**32:
            raise UserError(f"seed {seed} is not in 0..{2**32 - 1}")
        chosen = np.arange(self.num_classes) if classes is None else np.asarray(classes)
        h, w, _ = self.image_shape
        size = min(count, BATCH, max(1, BATCH_PIXELS // (h * w)))
        for start in range(0, count, size):
            numbers = np.arange(start, start + size, dtype=np.int32)
            z = self.latents(np.uint32(seed), numbers)
            z = z if truncation == 1 else z * np.float32(truncation)
            labels = chosen[numbers % len(chosen)] if len(chosen) else None
            y = () if labels is None else (np.eye(self.num_classes, dtype=np.float32)[labels],)
            images = np.asarray(self.generator(z, *y))
            if not np.isfinite(images).all():
                raise UserError("the generator's images are not numbers; its training went wrong")
            here = min(size, count - start)
            yield to_uint8(images[:here]), None if labels is None else labels[:here]

    def images(
        self, count: int, seed: int, classes: Sequence[int] | None = None, truncation: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What `batches` draws, all at once: images [count, H, W, C] uint8, and labels [count] or None."""
        images, labels = zip(*self.batches(count, seed, classes, truncation), strict=True)
        return np.concatenate(images), np.concatenate(labels) if self.class_names else None

    def grid(self, rows: int, columns: int, seed: int) -> np.ndarray:
        """[rows * columns, H, W, C] uint8, row by row; if there are classes, each of the first has a row."""
        classes = range(rows) if self.class_names else None
        images, _ = self.images(rows * columns, seed, classes)
        return row_by_row(images, rows)


def row_by_row(images: np.ndarray, rows: int) -> np.ndarray:
    """Images [N, H, W, C] that belong to `rows` rows in turn, in the order of a grid; white fills it up."""
    missing = -len(images) % rows
    images = np.concatenate([images, np.full((missing, *images.shape[1:]), 255, np.uint8)])
    return images.reshape(-1, rows, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape)

"""Generates images from a generator program; shared by runs and exports."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.pictures import to_uint8

BATCH, BATCH_PIXELS = 500, 500 * 64**2  # maximum number of images and of pixels per batch


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A generator and a sampler of its latent vectors."""

    latents: Callable[..., Any]  # seed, image indices [B] -> z [B, Z]
    generator: Callable[..., Any]  # z [B, Z], and y [B, K] if there are classes -> images [B, H, W, C]
    class_names: tuple[str, ...]  # empty if unconditional
    image_shape: tuple[int, int, int]  # H, W, C

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def batches(
        self, count: int, seed: int, classes: Sequence[int] | None = None, truncation: float = 1.0
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Batches of images [b, H, W, C] uint8, cycling through the classes, and of labels [b] or None.

        The latent vector of an image depends only on the seed and its index.

        Args:
          count: total number of images.
          seed: of the latent vectors.
          classes: indices of the classes to generate; None: all.
          truncation: factor of the latent vectors.

        Raises:
          UserError: the seed is out of range, or pixels are NaN or infinite.
        """
        if not 0 <= seed < 2**32:
            raise UserError(f"seed {seed} is not in 0..{2**32 - 1}")
        chosen = np.arange(self.num_classes) if classes is None else np.asarray(classes)
        h, w, _ = self.image_shape
        size = min(count, BATCH, max(1, BATCH_PIXELS // (h * w)))
        for start in range(0, count, size):
            indices = np.arange(start, start + size, dtype=np.int32)
            z = self.latents(np.uint32(seed), indices)
            z = z if truncation == 1 else z * np.float32(truncation)
            labels = chosen[indices % len(chosen)] if len(chosen) else None
            y = () if labels is None else (np.eye(self.num_classes, dtype=np.float32)[labels],)
            images = np.asarray(self.generator(z, *y))
            if not np.isfinite(images).all():
                raise UserError("generated images contain NaN or Inf; training has diverged")
            kept = min(size, count - start)
            yield to_uint8(images[:kept]), None if labels is None else labels[:kept]

    def images(
        self, count: int, seed: int, classes: Sequence[int] | None = None, truncation: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The concatenated `batches`: images [count, H, W, C] uint8, and labels [count] or None."""
        images, labels = zip(*self.batches(count, seed, classes, truncation), strict=True)
        return np.concatenate(images), np.concatenate(labels) if self.class_names else None

    def grid(self, rows: int, columns: int, seed: int) -> np.ndarray:
        """[rows * columns, H, W, C] uint8, row by row; if conditional, row i shows class i."""
        classes = range(rows) if self.class_names else None
        images, _ = self.images(rows * columns, seed, classes)
        return row_by_row(images, rows)


def row_by_row(images: np.ndarray, rows: int) -> np.ndarray:
    """Reorders images [N, H, W, C] that cycle through `rows` rows into grid order; pads with white images."""
    missing = -len(images) % rows
    images = np.concatenate([images, np.full((missing, *images.shape[1:]), 255, np.uint8)])
    return images.reshape(-1, rows, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape)

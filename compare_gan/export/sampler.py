"""Drawing images from a generator that is a program: one way for runs and for exports of them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.pictures import to_uint8

BATCH = 500


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A generator, and where its latent vectors come from."""

    latents: Callable[..., Any]  # seed, numbers [B] -> z [B, Z]
    generator: Callable[..., Any]  # z [B, Z], and y [B, K] if there are classes -> images [B, H, W, C]
    num_classes: int  # 0 if the generator takes no label

    def images(self, count: int, seed: int, shown: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """`count` images [count, H, W, C] uint8, classes in turn, and their labels [count] or None.

        With `shown` the first so many classes only.

        Raises:
          UserError: a seed that is none, or pixels that are not numbers.
        """
        if not 0 <= seed < 2**32:
            raise UserError(f"seed {seed} is not in 0..{2**32 - 1}")
        classes = self.num_classes and (shown or self.num_classes)
        size, parts = min(count, BATCH), []
        for start in range(0, count, size):
            numbers = np.arange(start, start + size, dtype=np.int32)
            y = (np.eye(self.num_classes, dtype=np.float32)[numbers % classes],) if classes else ()
            images = np.asarray(self.generator(self.latents(np.uint32(seed), numbers), *y))
            if not np.isfinite(images).all():
                raise UserError("the generator's images are not numbers; its training went wrong")
            parts.append(to_uint8(images))
        return np.concatenate(parts)[:count], np.arange(count) % classes if classes else None

    def grid(self, rows: int, columns: int, seed: int) -> np.ndarray:
        """[rows * columns, H, W, C] uint8, row by row; if there are classes, each of the first has a row."""
        images, _ = self.images(rows * columns, seed, rows)
        return images.reshape(columns, rows, *images.shape[1:]).swapaxes(0, 1).reshape(images.shape)

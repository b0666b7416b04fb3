"""Images that are decoded and preprocessed on demand."""

import dataclasses

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.fit import CropResize
from compare_gan.data.records import Records


@dataclasses.dataclass(frozen=True, eq=False)
class Streamed:
    """Stored images with a crop and a resize, as a read-only array [N, H, W, C] uint8."""

    records: Records
    fit: CropResize
    image_shape: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.image_shape)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Images at these indices. A random crop is seeded by the image index, hence fixed."""
        numbers = np.arange(len(self))[index]
        images = [self.read(int(i), np.random.default_rng(int(i))) for i in numbers.ravel()]
        return np.array(images, np.uint8).reshape(*numbers.shape, *self.image_shape)

    def read(self, i: int, rng: np.random.Generator) -> np.ndarray:
        """Image i, [H, W, C] uint8; `rng` draws a random crop.

        Raises:
          UserError: the image cannot be read, or has another size.
        """
        image = self.fit(self.records[i], rng)
        if image.shape[:2] != self.image_shape[:2]:
            (h, w), (h0, w0) = image.shape[:2], self.image_shape[:2]
            raise UserError(
                f"{self.records.where(i)}: {h}x{w}, but others are {h0}x{w0}; "
                f"set image_size to crop and resize all"
            )
        return np.broadcast_to(grey(image) if self.image_shape[2] == 1 else image, self.image_shape)


def grey(image: np.ndarray) -> np.ndarray:
    """[H, W, 1 or 3] uint8 -> [H, W, 1], with the luma weights of ITU-R BT.601."""
    if image.shape[2] == 1:
        return image
    return np.rint(image @ np.array([[0.299], [0.587], [0.114]])).astype(np.uint8)

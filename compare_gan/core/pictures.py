"""Image files, and grids of small images."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, run_folder, write_json
from compare_gan.core.run_files import GRID_LAYOUT


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] -> [0, 255]."""
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)


def grid(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[rows * columns, H, W, C] -> [rows * H, columns * W, C], row by row, without borders."""
    _, h, w, c = images.shape
    return images.reshape(rows, columns, h, w, c).swapaxes(1, 2).reshape(rows * h, columns * w, c)


FORMATS: dict[str, tuple[str, dict[str, Any]]] = {  # by suffix: what Pillow calls it, and how it is saved
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"lossless": True}),
}
MOST_PIXELS = 89_000_000  # of a picture: programs that show pictures refuse larger ones
LONGEST_SIDE = {"PNG": 2**31 - 1, "JPEG": 65_500, "WEBP": 16_383}


def check_picture(path: Path, height: int, width: int) -> None:
    """Checks that a picture of this size can be written to a file of this name.

    Raises:
      UserError: the suffix is of no known format, or the picture is too large for it.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: cannot write {path.suffix or 'no suffix'}; use {', '.join(FORMATS)}")
    name, _ = FORMATS[path.suffix.lower()]
    if height * width > MOST_PIXELS or max(height, width) > LONGEST_SIDE[name]:
        raise UserError(
            f"{path}: a {name} picture of {width}x{height} pixels is too large; show fewer images"
        )


def encoded(image: np.ndarray, suffix: str) -> bytes:
    """The file content of an image [H, W, 1 or 3] uint8, in the format of a suffix."""
    name, options = FORMATS[suffix.lower()]
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, name, **options)
    return buffer.getvalue()


def write_picture(path: Path, images: np.ndarray, rows: int, columns: int) -> None:
    """A grid of uint8 images as an image file."""
    content = encoded(grid(images, rows, columns), path.suffix)
    run_folder(path.parent)
    with atomic(path) as file:
        file.write(content)


def write_grid(path: Path, images: np.ndarray, rows: int, columns: int) -> None:
    """The same, with what it takes to cut it up again in `grid.json` beside it."""
    write_picture(path, images, rows, columns)
    layout = {"rows": rows, "columns": columns, "tile": list(images.shape[1:3])}
    write_json(path.parent / GRID_LAYOUT, layout)

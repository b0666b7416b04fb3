"""Grids of small images as PNG files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from compare_gan.core.files import atomic, run_folder, write_json


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] -> [0, 255]."""
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)


def grid(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[rows * columns, H, W, C] -> [rows * H, columns * W, C], row by row, without borders."""
    _, h, w, c = images.shape
    return images.reshape(rows, columns, h, w, c).swapaxes(1, 2).reshape(rows * h, columns * w, c)


def write_picture(path: Path, images: np.ndarray, rows: int, columns: int) -> None:
    """A grid of uint8 images as a PNG file."""
    picture = grid(images, rows, columns)
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    run_folder(path.parent)
    with atomic(path) as file:
        file.write(buffer.getvalue())


def write_grid(path: Path, images: np.ndarray, rows: int, columns: int) -> None:
    """The same, with what it takes to cut it up again in `grid.json` beside it."""
    write_picture(path, images, rows, columns)
    layout = {"rows": rows, "columns": columns, "tile": list(images.shape[1:3])}
    write_json(path.parent / "grid.json", layout)

"""Image files, and grids of small images."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic, run_folder, write_json
from compare_gan.core.outputs import MARK, SOFTWARE
from compare_gan.core.run_files import GRID_LAYOUT


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] -> [0, 255]."""
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)


def grid(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[rows * columns, H, W, C] -> [rows * H, columns * W, C], row by row, without borders."""
    _, h, w, c = images.shape
    return images.reshape(rows, columns, h, w, c).swapaxes(1, 2).reshape(rows * h, columns * w, c)


FORMATS: dict[str, tuple[str, dict[str, Any]]] = {  # suffix: Pillow's format name and save options
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"lossless": True}),
}
MAX_PIXELS = 89_000_000  # image viewers refuse larger pictures
MAX_SIDE = {"PNG": 2**31 - 1, "JPEG": 65_500, "WEBP": 16_383}


def check_picture(path: Path, height: int, width: int) -> None:
    """Checks that a picture of this size can be written to this path.

    Raises:
      UserError: the suffix is unknown, or the picture is too large for its format.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: cannot write {path.suffix or 'no suffix'}; use {', '.join(FORMATS)}")
    name, _ = FORMATS[path.suffix.lower()]
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE[name]:
        raise UserError(
            f"{path}: a {name} picture of {width}x{height} pixels is too large; show fewer images"
        )


def encoded(image: np.ndarray, suffix: str) -> bytes:
    """Encodes a uint8 image [H, W, 1 or 3] in the format of a file suffix; EXIF names this library."""
    name, options = FORMATS[suffix.lower()]
    exif = Image.Exif()
    exif[SOFTWARE] = MARK
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.save(buffer, name, exif=exif, **options)
    return buffer.getvalue()


def write_picture(path: Path, images: np.ndarray, rows: int, columns: int) -> None:
    """Writes uint8 images [rows * columns, H, W, C] as one image file."""
    content = encoded(grid(images, rows, columns), path.suffix)
    run_folder(path.parent)
    with atomic(path) as file:
        file.write(content)


def write_grid(path: Path, images: np.ndarray, rows: int, columns: int) -> None:
    """Like `write_picture`; also writes the layout (rows, columns, tile size) to `grid.json` next to it."""
    write_picture(path, images, rows, columns)
    layout = {"rows": rows, "columns": columns, "tile": list(images.shape[1:3])}
    write_json(path.parent / GRID_LAYOUT, layout)

"""Image grids: cutting into tiles, rearranging, and encoding as PNG.

Shape letters: R rows, C columns, H height, W width of a tile; the last axis is RGBA.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from compare_gan.report.collect import Grid, evenly_spaced

EVOLUTION_ROWS = 6
MAX_SIDE = 1280  # maximum pixels along a side; larger grids are cropped
CRISP_BELOW = 64  # smaller tiles are magnified without smoothing


def tiles(grid: Grid) -> np.ndarray:
    """The tiles [R, C, H, W, 4] of a grid."""
    height, width = grid.tile
    return grid.pixels.reshape(grid.rows, height, grid.columns, width, 4).swapaxes(1, 2)


def montage(cells: np.ndarray) -> np.ndarray:
    """Arranges cells [R, C, H, W, 4] in one RGBA image, with transparent gaps in between."""
    rows, columns, height, width, _ = cells.shape
    gap = gap_of(height)
    spaced = np.pad(cells, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)))
    sheet = spaced.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), 4)
    return sheet[:-gap, :-gap]


def gap_of(height: int) -> int:
    """The gap between tiles: one pixel, or more for large tiles, which the page scales down."""
    return max(1, height // 32)


def crop(grid: Grid, side: int = MAX_SIDE) -> Grid:
    """The upper left part of a grid, at most `side` pixels wide and high, to limit the page size."""
    height, width = grid.tile
    rows, columns = min(grid.rows, max(1, side // height)), min(grid.columns, max(1, side // width))
    return Grid(grid.pixels[: rows * height, : columns * width], rows, columns, grid.tile)


def evolution(grids: Sequence[Grid]) -> np.ndarray:
    """A montage of samples over training: one column per grid, one row per latent vector.

    The cells are taken from the diagonal of each grid, so that both class and vector differ between rows.
    """
    rows = evenly_spaced(range(grids[0].rows), EVOLUTION_ROWS)
    columns = [i % grids[0].columns for i in range(len(rows))]
    return montage(np.stack([tiles(grid)[rows, columns] for grid in grids], axis=1))


def data_uri(pixels: np.ndarray) -> str:
    """A PNG data URI of an RGBA image uint8 [H, W, 4]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return uri(buffer.getvalue(), "png")


def uri(content: bytes, kind: str) -> str:
    """A data URI of an image file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

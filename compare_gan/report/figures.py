"""Image grids cut into tiles, arranged in new grids, and packed as PNG.

Shape letters: R rows, C columns, H height, W width of a tile; the last axis is RGBA.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from compare_gan.report.collect import Grid, evenly

EVOLUTION_ROWS = 6
LARGEST = 1280  # pixels along a side, beyond which a grid is cut off
CRISP_BELOW = 64  # tiles smaller than this are magnified without smoothing


def tiles(grid: Grid) -> np.ndarray:  # -> [R, C, H, W, 4]
    height, width = grid.tile
    return grid.pixels.reshape(grid.rows, height, grid.columns, width, 4).swapaxes(1, 2)


def montage(cells: np.ndarray) -> np.ndarray:  # [R, C, H, W, 4] -> [.., .., 4]
    """The cells side by side with a transparent gap between them."""
    rows, columns, height, width, _ = cells.shape
    gap = gap_of(height)
    spaced = np.pad(cells, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)))
    sheet = spaced.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), 4)
    return sheet[:-gap, :-gap]


def gap_of(height: int) -> int:
    """One pixel, and more beside tiles so large that they are shown smaller than they are."""
    return max(1, height // 32)


def corner(grid: Grid) -> Grid:
    """The grid, or as much of its upper left corner as keeps the page to a fair size."""
    height, width = grid.tile
    rows, columns = min(grid.rows, max(1, LARGEST // height)), min(grid.columns, max(1, LARGEST // width))
    return Grid(grid.pixels[: rows * height, : columns * width], rows, columns, grid.tile)


def evolution(grids: Sequence[Grid]) -> np.ndarray:
    """One column a grid, in the order given; one row a latent vector.

    The cells lie on the diagonal of the grid, so that class and vector both change from row to row.
    """
    rows = evenly(range(grids[0].rows), EVOLUTION_ROWS)
    columns = [i % grids[0].columns for i in range(len(rows))]
    return montage(np.stack([tiles(grid)[rows, columns] for grid in grids], axis=1))


def data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

"""Grids, montages and their pixels."""

import base64
import io

import numpy as np
from PIL import Image

from compare_gan.report.collect import Grid
from compare_gan.report.figures import crop, data_uri, evolution, montage, tiles


def numbered(rows: int, columns: int, step: int) -> Grid:
    """Opaque tiles of 2 x 3 pixels, filled with (row, column, step)."""
    pixels = np.zeros((rows * 2, columns * 3, 4), np.uint8)
    for r in range(rows):
        for c in range(columns):
            pixels[2 * r : 2 * r + 2, 3 * c : 3 * c + 3] = (r, c, step, 255)
    return Grid(pixels, rows, columns, (2, 3))


def test_tiles_are_cut_by_row_and_column():
    cut = tiles(numbered(4, 5, 9))
    assert cut.shape == (4, 5, 2, 3, 4)
    for r in range(4):
        for c in range(5):
            assert (cut[r, c] == (r, c, 9, 255)).all()


def test_evolution_has_a_column_per_step_and_a_row_per_latent_vector():
    strip = evolution([numbered(10, 4, step) for step in (5, 6, 7)])
    assert strip.shape == (6 * 3 - 1, 3 * 4 - 1, 4)
    for i, row in enumerate((0, 2, 4, 5, 7, 9)):
        for j, step in enumerate((5, 6, 7)):
            assert (strip[3 * i : 3 * i + 2, 4 * j : 4 * j + 3] == (row, i % 4, step, 255)).all()
    assert not strip[2::3].any() and not strip[:, 3::4].any()  # gaps are transparent


def test_gaps_grow_with_tile_size():
    assert montage(np.ones((2, 2, 64, 64, 4), np.uint8)).shape == (130, 130, 4)


def test_large_grids_are_cropped():
    grid = Grid(
        np.arange(1, 9, dtype=np.uint8).reshape(2, 4, 1).repeat(4, -1).repeat(600, 0).repeat(600, 1),
        2,
        4,
        (600, 600),
    )
    cut = crop(grid)
    assert (cut.rows, cut.columns) == (2, 2)
    assert np.unique(cut.pixels).tolist() == [1, 2, 5, 6]
    small = numbered(3, 3, 0)
    assert (crop(small).pixels == small.pixels).all()


def test_a_data_uri_preserves_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    head, body = data_uri(pixels).split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        assert (np.asarray(image) == pixels).all()

"""Grids of images, cut up again as the report does it."""

import json

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.pictures import grid, to_uint8, write_grid


def test_to_uint8_rounds_and_clips():
    assert to_uint8(np.array([-1, 0, 0.1, 0.5, 1, 2])).tolist() == [0, 0, 26, 128, 255, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_can_be_cut_up_again(tmp_path, channels):
    images = np.random.RandomState(0).randint(0, 256, (6, 4, 5, channels)).astype(np.uint8)
    write_grid(tmp_path / "deep" / "1.png", images, 2, 3)
    layout = json.loads((tmp_path / "deep" / "grid.json").read_text())
    assert layout == {"rows": 2, "columns": 3, "tile": [4, 5]}
    with Image.open(tmp_path / "deep" / "1.png") as opened:
        picture = np.asarray(opened).reshape(8, 15, channels)
    for i, image in enumerate(images):
        row, column = divmod(i, 3)
        np.testing.assert_array_equal(picture[4 * row :, 5 * column :][:4, :5], image)


def test_a_grid_that_is_not_full():
    with pytest.raises(ValueError):
        grid(np.zeros((5, 2, 2, 3), np.uint8), 2, 3)

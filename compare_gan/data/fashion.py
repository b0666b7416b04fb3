"""A balanced part of Fashion-MNIST, shipped with the package."""

from pathlib import Path

import numpy as np
from PIL import Image

from compare_gan.core.registry import DATASETS
from compare_gan.data.records import Contents, Pixels, StoredSplit

CLASSES = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SIDE = 28
COLUMNS = 100  # images in a row of a sheet


@DATASETS.register("fashion")
def fashion() -> Contents:
    """10,000 training and 2,000 test photographs of clothes, 28x28 grey, in ten classes of equal size.

    The first 1,000 training and 200 test images of each class of Fashion-MNIST: Xiao et al.,
    https://arxiv.org/abs/1708.07747. Copyright 2017 Zalando SE, MIT licence (`fashion-LICENSE.txt`).
    `fashion.json` has the digests of the original files and of the pixels here. The test split is a part of
    Fashion-MNIST's own, and neighbouring images are of different classes.
    """
    train, test = (read_sheet(Path(__file__).with_name(f"fashion-{name}.png")) for name in ("train", "test"))
    return Contents("fashion", "fashion", train, test, CLASSES)


def read_sheet(path: Path) -> StoredSplit:
    """The images of a sheet that `write_sheet` wrote, one of each class in turn."""
    with Image.open(path) as picture:
        sheet = np.asarray(picture)
    tiles = sheet.reshape(-1, SIDE, COLUMNS, SIDE).swapaxes(1, 2)
    by_class = tiles.reshape(len(CLASSES), -1, SIDE, SIDE, 1)
    images = np.ascontiguousarray(by_class.swapaxes(0, 1)).reshape(-1, SIDE, SIDE, 1)
    return StoredSplit(Pixels(images, "fashion"), np.arange(len(images), dtype=np.int32) % len(CLASSES))


def write_sheet(path: Path, by_class: np.ndarray) -> None:
    """Writes images [K, N, 28, 28] uint8 as a PNG, the rows of one class below those of another.

    This order takes 3% fewer bytes than one in which classes alternate.
    """
    tiles = by_class.reshape(-1, COLUMNS, SIDE, SIDE).swapaxes(1, 2)
    Image.fromarray(tiles.reshape(-1, COLUMNS * SIDE)).save(path, optimize=True)

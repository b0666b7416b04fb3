"""Handwritten digits bundled with scikit-learn."""

import importlib.util
from pathlib import Path

import numpy as np

from compare_gan.core.registry import DATASETS
from compare_gan.data.records import Contents, Pixels, StoredSplit
from compare_gan.data.splits import held_out_mask


@DATASETS.register("digits")
def digits() -> Contents:
    """1,347 train and 450 test images of handwritten digits, 8x8 grey, in ten classes.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49; scikit-learn ships its test part. The 17 grey levels
    are scaled to 0..255. Images stay 8x8: these are the original pixels without interpolation, and training
    costs a quarter of what it would at 16x16. The split is the same for every run.
    """
    rows = read_table()
    images = np.rint(rows[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    digits_split = StoredSplit(Pixels(images, "digits"), rows[:, -1].astype(np.int32))
    out = held_out_mask(digits_split.labels, 1 / 4)
    train, test = (digits_split.select(np.flatnonzero(mask)) for mask in (~out, out))
    return Contents("digits", "digits", train, test, tuple("0123456789"), mirror=False)


def read_table() -> np.ndarray:
    """Pixels in 0..16 and the label, [N, 65], from scikit-learn's file.

    `sklearn.datasets.load_digits` reads the same file, but takes most of a second to import.
    """
    found = importlib.util.find_spec("sklearn")
    assert found is not None and found.origin is not None
    return np.loadtxt(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")

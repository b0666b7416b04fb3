"""Splits by name, and held-out test splits."""

import re
from typing import Literal

import numpy as np

from compare_gan.data.base import hardened

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that exists is the test split
SplitName = Literal["train", "test", "validation", "unlabelled"]
TEST_SPLITS: tuple[SplitName, ...] = ("test", "validation")  # the first that exists is the test split
# Words, digits and punctuation that may surround the name of a split: 01_train, test_images.
_AROUND = r"(?:data|sets?|images?|imgs?|pictures?|photos?|splits?|samples?|parts?|parquet|[\W\d_])*"
_WORDS: dict[SplitName, str] = {
    "unlabelled": rf"(?:training|train)?{_AROUND}(?:unlabell?ed|unsup(?:ervised)?|no[\W_]*labels?)"
    rf"{_AROUND}(?:training|train)?",
    "train": rf"(?:labell?ed|(?:training|train)(?:{_AROUND}labell?ed)?)",
    "test": r"test(?:ing)?",
    "validation": r"(?:val|valid|validation|eval|evaluation|dev|hold[\W_]*out|held[\W_]*out)",
}
_SPLITS = {split: re.compile(_AROUND + words + _AROUND) for split, words in _WORDS.items()}
_SHARD = re.compile(r"-\d+-of-\d+.*")  # shard suffix of the Hugging Face hub, sometimes followed by a hash
HELD_OUT = 1 / 5


def split_of(name: str) -> SplitName | None:
    """The split that a folder or file name denotes; None if the name is not that of a split.

    Case, spelling variants, digits and words such as "set" and "images" are ignored: Training, test_set,
    val2017, train-00000-of-00002.parquet. A name with any other word is not a split: "train station".
    """
    name = _SHARD.sub("", name.lower())
    return next((split for split, words in _SPLITS.items() if words.fullmatch(name)), None)


def held_out_mask(labels: np.ndarray, fraction: float = HELD_OUT) -> np.ndarray:
    """Mask [N] of images to hold out: `fraction` of each class, rounded, evenly spaced.

    Deterministic, so every run, seed and machine gets the same split. Unlabelled images count as a class.

    Args:
      labels: [N] class indices, -1 = unlabelled; or soft labels [N, K].
      fraction: in [0, 1).
    """
    classes = hardened(labels)
    out = np.zeros(len(labels), bool)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = round(fraction * len(members))
        out[members[(2 * np.arange(count) + 1) * len(members) // max(2 * count, 1)]] = True
    return out

"""What readers share: splits by name, a test split held out."""

import logging
import re
from typing import Literal

import numpy as np

from compare_gan.data.records import Part

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that is there is the test split
SplitName = Literal["train", "test", "validation", "unlabelled"]
TEST_SPLITS: tuple[SplitName, ...] = ("test", "validation")  # the first that is there is the test split
# Whole words that may stand around the name of a split, with digits and punctuation: 01_train, test_images.
_AROUND = r"(?:data|sets?|images?|imgs?|pictures?|photos?|splits?|samples?|parts?|parquet|[\W\d_])*"
_WORDS: dict[SplitName, str] = {
    "unlabelled": rf"(?:training|train)?{_AROUND}(?:unlabell?ed|unsup(?:ervised)?|no[\W_]*labels?)"
    rf"{_AROUND}(?:training|train)?",
    "train": rf"(?:labell?ed|(?:training|train)(?:{_AROUND}labell?ed)?)",
    "test": r"test(?:ing)?",
    "validation": r"(?:val|valid|validation|eval|evaluation|dev|hold[\W_]*out|held[\W_]*out)",
}
_SPLITS = {split: re.compile(_AROUND + words + _AROUND) for split, words in _WORDS.items()}
_SHARD = re.compile(r"-\d+-of-\d+.*")  # as the Hugging Face hub numbers files, at times with a hash behind
HELD_OUT = 1 / 5
MOST_CLASSES = 100_000
log = logging.getLogger(__name__)


def split_of(name: str) -> SplitName | None:
    """The split that a folder or file of this name holds; None if the name is not that of a split.

    Spelling, case, digits and words such as "set" and "images" around it do not matter: Training, test_set,
    val2017, train-00000-of-00002.parquet. A name with any other word is no split: "train station".
    """
    name = _SHARD.sub("", name.lower())
    return next((split for split, words in _SPLITS.items() if words.fullmatch(name)), None)


def held_out(path: str, whole: Part, fraction: float = HELD_OUT) -> tuple[Part, Part]:
    """The rest of `whole`, and `fraction` of each class, rounded, taken at even distances.

    Nothing random: every run, seed and machine gets the same split. The order of the images is kept. Where no
    class has images to spare, all are for training, and the same ones again for tests.
    """
    classes = whole.labels if whole.labels.ndim == 1 else whole.labels.argmax(1)
    out = np.zeros(len(whole), bool)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = round(fraction * len(members))
        out[members[(2 * np.arange(count) + 1) * len(members) // max(2 * count, 1)]] = True
    if not out.any():
        log.warning("%s: too few images to hold any out, so scores compare with the training images", path)
        return whole, whole
    return whole.chosen(np.flatnonzero(~out)), whole.chosen(np.flatnonzero(out))

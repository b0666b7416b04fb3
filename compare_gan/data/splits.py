"""What readers share: splits by name, a test split held out, labels checked."""

import logging
import re
from typing import Literal

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.data.records import Part

TEST_NAMES = ("test", "validation", "valid", "val")  # the first that is there is the test split
SplitName = Literal["train", "test", "validation", "unlabelled"]
TEST_SPLITS: tuple[SplitName, ...] = ("test", "validation")  # the first that is there is the test split
# Whole words that may stand around the name of a split, with digits and punctuation: 01_train, test_images.
_AROUND = r"(?:data|sets?|images?|imgs?|pictures?|photos?|splits?|samples?|parts?|parquet|[\W\d_])*"
_SPLITS: dict[SplitName, re.Pattern[str]] = {
    split: re.compile(_AROUND + words + _AROUND)
    for split, words in {
        "unlabelled": rf"(?:training|train)?{_AROUND}(?:unlabell?ed|unsup(?:ervised)?|no[\W_]*labels?)"
        rf"{_AROUND}(?:training|train)?",
        "train": rf"(?:labell?ed|(?:training|train)(?:{_AROUND}labell?ed)?)",
        "test": r"test(?:ing)?",
        "validation": r"(?:val|valid|validation|eval|evaluation|dev|hold[\W_]*out|held[\W_]*out)",
    }.items()
}
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


def class_indices(path: object, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """`labels` of `count` images as [count] int32.

    Args:
      name: what `path` calls them.

    Raises:
      UserError: they are not one class index for each image.
    """
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise UserError(f"{path}: {name} is {labels.dtype} {list(labels.shape)}; wanted [N] integers from 0")
    if len(labels) != count:
        raise UserError(f"{path}: {name} has {len(labels)} entries for {count} images")
    if count and not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise UserError(f"{path}: {name} holds {wrong}; class indices are 0 to {MOST_CLASSES - 1}")
    return labels.astype(np.int32)


def numbered(*parts: Part | None) -> tuple[str, ...]:
    """Class names where only numbers are known: "0" to the largest; none if all are unlabelled."""
    largest = max((int(part.labels.max()) for part in parts if part is not None and len(part)), default=-1)
    return tuple(str(i) for i in range(largest + 1))

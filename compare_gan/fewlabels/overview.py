"""How many images of a data set have labels, and what a study can do with them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.methods import METHODS
from compare_gan.data.base import ImageDataset, hard_labels

DEFAULT_FRACTION = 0.1  # of the labels of a fully labelled data set


@dataclasses.dataclass(frozen=True)
class Overview:
    """Counts of images and labels."""

    train_images: int
    labelled: int  # training images that have a label
    classes: int
    fewest: int  # labels of the class that has fewest, and of the one that has most
    most: int
    held_out: int
    held_out_labelled: int

    @property
    def partly(self) -> bool:
        """Whether training images without a label are there."""
        return self.labelled < self.train_images

    def fraction(self, asked: float | None) -> float:
        """The share of the labels to keep: what the user asked for, else all where labels are missing."""
        if asked is not None:
            return asked
        return 1.0 if self.partly else DEFAULT_FRACTION

    def lines(self) -> list[str]:
        """The counts in words, and what follows from them."""
        each = f"{self.fewest:,}" if self.fewest == self.most else f"{self.fewest:,} to {self.most:,}"
        labels = f"{self.labelled:,} with a label in {self.classes:,} classes ({each} a class)"
        if not self.labelled:
            labels = "none with a label"
        rest = f", {self.train_images - self.labelled:,} without" if self.partly and self.labelled else ""
        tests = f"{self.held_out_labelled:,} with a label" if self.held_out_labelled else "none with a label"
        found = [
            f"data: {self.train_images:,} training images, {labels}{rest}; "
            f"{self.held_out:,} held out for scores, {tests}"
        ]
        if self.partly and self.held_out_labelled:
            found.append(
                "the accuracy of inferred labels is measured on held-out images only, "
                f"{self.held_out_labelled:,} of which have a label"
            )
        return found + self.left_out()

    def left_out(self) -> list[str]:
        """What cannot be measured for want of labels."""
        if not self.partly or self.held_out_labelled:
            return []
        return ["left out: the accuracy of inferred labels (no held-out image has a label to compare with)"]


def overview(dataset: ImageDataset) -> Overview:
    """Counts the images and labels of a data set. Soft labels count as labels."""
    train, test = hard_labels(dataset.train), hard_labels(dataset.test)
    counts = np.bincount(train[train >= 0], minlength=len(dataset.class_names))
    return Overview(
        train_images=len(train),
        labelled=int((train >= 0).sum()),
        classes=len(dataset.class_names),
        fewest=int(counts.min(initial=len(train))) if len(counts) else 0,
        most=int(counts.max(initial=0)),
        held_out=len(test),
        held_out_labelled=int((test >= 0).sum()),
    )


def usable_methods(names: Sequence[str], there: Overview) -> tuple[list[str], list[str]]:
    """The methods that the labels allow, and a line for those that they do not.

    Raises:
      UserError: none is left.
    """
    usable, unusable = list[str](), list[str]()
    for name in dict.fromkeys(names):
        (unusable if METHODS[name].labels == "true" and there.partly else usable).append(name)
    missing = there.train_images - there.labelled
    why = f"{', '.join(unusable)} needs a label for every training image, and {missing:,} have none"
    if not usable:
        raise UserError(f"{why}; choose other --methods, such as s3gan")
    return usable, [f"left out: {why}"] if unusable else []


def as_record(there: Overview, more_left_out: Sequence[str] = ()) -> dict[str, Any]:
    """What a study's summary says of its data."""
    left_out = [*there.left_out(), *more_left_out]
    return dataclasses.asdict(there) | {
        "source_labelled": "some" if there.partly else "all",
        "left_out": [line.removeprefix("left out: ") for line in left_out],
    }

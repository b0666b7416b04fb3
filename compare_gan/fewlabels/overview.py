"""How many images of a data set have labels, and what a study can do with them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS
from compare_gan.core.words import counted, listed
from compare_gan.data.base import ImageDataset, hard_labels
from compare_gan.data.fingerprint import nothing_held_out

NOT_MEASURED = "the accuracy of inferred labels (no other image has a label to compare with)"
NEED_LABELS = ("true", "few", "inferred", "soft", "random")  # kinds of `Method.labels`
DEFAULT_FRACTION = 0.1  # of the labels of a fully labelled data set


@dataclasses.dataclass(frozen=True)
class Overview:
    """Counts of images and labels."""

    train_images: int
    labelled: int  # training images that have a label
    classes: int
    fewest: int  # labels of the class that has fewest, and of the one that has most
    most: int
    held_out: int  # test images; 0 where these are the training images
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
        classes = counted(self.classes, "class", "classes")
        labels = f"{self.labelled:,} with a label in {classes} ({each} a class)"
        if not self.labelled:
            labels = "none with a label"
        rest = f", {self.train_images - self.labelled:,} without" if self.partly and self.labelled else ""
        tests = f"{self.held_out_labelled:,} with a label" if self.held_out_labelled else "none with a label"
        scores = f"{self.held_out:,} held out for scores, {tests}"
        if not self.held_out:
            scores = "none held out, so scores compare with the training images"
        return [f"data: {self.train_images:,} training images, {labels}{rest}; {scores}"]

    def measured(self, hidden: int) -> list[str]:
        """What the accuracy of inferred labels is measured on.

        Args:
          hidden: labels of training images that are known and not used.
        """
        tests = counted(self.held_out_labelled, "held-out image with a label", "held-out images with a label")
        if self.held_out_labelled and not hidden:
            return [f"the accuracy of inferred labels is measured on the {tests}"]
        if not self.held_out_labelled and not hidden:
            return [f"left out: {NOT_MEASURED}"]
        return []


def overview(dataset: ImageDataset) -> Overview:
    """Counts the images and labels of a data set. Soft labels count as labels."""
    train, test = hard_labels(dataset.train), hard_labels(dataset.test)
    alike = nothing_held_out(dataset)
    counts = np.bincount(train[train >= 0], minlength=len(dataset.class_names))
    return Overview(
        train_images=len(train),
        labelled=int((train >= 0).sum()),
        classes=len(dataset.class_names),
        fewest=int(counts.min(initial=len(train))) if len(counts) else 0,
        most=int(counts.max(initial=0)),
        held_out=0 if alike else len(test),
        held_out_labelled=0 if alike else int((test >= 0).sum()),
    )


def usable_methods(names: Sequence[str], there: Overview) -> tuple[list[str], list[str]]:
    """The methods that the labels allow, and a line for those that they do not.

    Raises:
      UserError: none is left; or no image has a label, and a method needs some.
    """
    if not there.labelled:
        without = [name for name, method in LABEL_METHODS.items() if method.labels not in NEED_LABELS]
        if lacking := [name for name in names if name not in without]:
            need = f"{listed(lacking)} {'need' if lacking[1:] else 'needs'}"
            raise UserError(
                f"no training image has a label, and {need} labels; "
                f"give --labels FILE, or choose from --methods {' '.join(without)}"
            )
    usable, unusable = list[str](), list[str]()
    for name in dict.fromkeys(names):
        (unusable if LABEL_METHODS[name].labels == "true" and there.partly else usable).append(name)
    missing = there.train_images - there.labelled
    needs = f"{listed(unusable)} {'need' if unusable[1:] else 'needs'}" if unusable else ""
    why = f"{needs} a label for every training image, and {missing:,} have none"
    if not usable:
        raise UserError(f"{why}; choose other --methods, such as s3gan")
    return usable, [f"left out: {why}"] if unusable else []


def as_record(there: Overview, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """What a study's summary says of its data."""
    return dataclasses.asdict(there) | {
        "source_labelled": "some" if there.partly else "all",
        "left_out": [line.removeprefix("left out: ") for line in left_out],
    }

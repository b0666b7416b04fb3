"""Counts of images and labels of a data set, and the methods that they allow."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS, method
from compare_gan.core.words import counted, listed
from compare_gan.data.base import ImageDataset, hard_labels
from compare_gan.data.fingerprint import nothing_held_out

NOT_MEASURED = "the accuracy of inferred labels (no labelled image is left for evaluation)"
NEED_LABELS = ("true", "few", "few_only", "inferred", "soft", "noisy", "random")  # kinds of `Method.labels`
DEFAULT_FRACTION = 0.1  # default label budget for a fully labelled data set


@dataclasses.dataclass(frozen=True)
class Overview:
    """Counts of images and labels."""

    train_images: int
    labelled: int  # training images that have a label
    classes: int
    fewest: int  # labels of the class with the fewest labels
    most: int  # labels of the class with the most labels
    held_out: int  # test images; 0 if they are the training images
    held_out_labelled: int

    @property
    def partly_labelled(self) -> bool:
        """Whether some training images have no label."""
        return self.labelled < self.train_images

    @property
    def least_fraction(self) -> float:
        """The fraction of the labels that is one label per class; at most 1."""
        return min(1.0, self.classes / max(1, self.labelled))

    @property
    def default_fraction(self) -> float:
        """The fraction of the labels to keep by default: all if labels are missing."""
        return 1.0 if self.partly_labelled else max(DEFAULT_FRACTION, self.least_fraction)

    def lines(self) -> list[str]:
        """The counts as lines of text."""
        per_class = f"{self.fewest:,}" if self.fewest == self.most else f"{self.fewest:,} to {self.most:,}"
        classes = counted(self.classes, "class", "classes")
        labels = f"{self.labelled:,} with a label in {classes} ({per_class} per class)"
        if not self.labelled:
            labels = "none with a label"
        rest = (
            f", {self.train_images - self.labelled:,} without"
            if self.partly_labelled and self.labelled
            else ""
        )
        tests = f"{self.held_out_labelled:,} with a label" if self.held_out_labelled else "none with a label"
        scores = f"{self.held_out:,} held out for scores, {tests}"
        if not self.held_out:
            scores = "none held out, so scores compare with the training images"
        return [f"data: {self.train_images:,} training images, {labels}{rest}; {scores}"]

    def measured(self, hidden: int) -> list[str]:
        """A line on how the accuracy of inferred labels is measured, if not on hidden labels.

        Args:
          hidden: the number of known training labels that are not used.
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
    same_images = nothing_held_out(dataset)
    per_class = np.bincount(train[train >= 0], minlength=len(dataset.class_names))
    return Overview(
        train_images=len(train),
        labelled=int((train >= 0).sum()),
        classes=len(dataset.class_names),
        fewest=int(per_class.min(initial=len(train))) if len(per_class) else 0,
        most=int(per_class.max(initial=0)),
        held_out=0 if same_images else len(test),
        held_out_labelled=0 if same_images else int((test >= 0).sum()),
    )


def usable_methods(names: Sequence[str], counts: Overview) -> tuple[list[str], list[str]]:
    """The methods that the labels allow, and a line on those that they do not.

    Args:
      names: of the requested methods.
      counts: of the data set, see `overview`.

    Raises:
      UserError: no method is left; or no image has a label, and a method needs some.
    """
    if not counts.labelled:
        without = [name for name, each in LABEL_METHODS.items() if each.labels not in NEED_LABELS]
        if unusable := [name for name in names if method(name).base not in without]:
            need = f"{listed(unusable)} {'need' if unusable[1:] else 'needs'}"
            raise UserError(
                f"no training image has a label, and {need} labels; "
                f"pass --labels FILE, or choose from --methods {' '.join(without)}"
            )
    usable, excluded = list[str](), list[str]()
    for name in dict.fromkeys(names):
        (excluded if method(name).needs_every_label and counts.partly_labelled else usable).append(name)
    missing = counts.train_images - counts.labelled
    needs = f"{listed(excluded)} {'need' if excluded[1:] else 'needs'}" if excluded else ""
    reason = f"{needs} a label for every training image, and {missing:,} have none"
    if not usable:
        raise UserError(f"{reason}; choose other --methods, such as s3gan")
    return usable, [f"left out: {reason}"] if excluded else []


def as_record(counts: Overview, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """The entry `data` of a study's summary."""
    return dataclasses.asdict(counts) | {
        "source_labelled": "some" if counts.partly_labelled else "all",
        "left_out": [line.removeprefix("left out: ") for line in left_out],
    }

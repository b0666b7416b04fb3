"""The GAN methods compared when labels are scarce: which labels each gets, and the recipe that uses them.

Lucic et al., https://arxiv.org/abs/1903.02271, section 3, and the baselines of section 4 except those that
add self-supervision to clusters, random labels or a single label. Three are not in the paper:
`labelled_only`, which shows what the unlabelled images are worth, and the controls `all_labels_rotation`
(true labels, with the rotation task that S3GAN adds to S2GAN) and `noise_matched` (as many wrong labels as
inference makes, but of random images).

Parts against overfitting can be added to any method: `s3gan+diffaugment`.
"""

import dataclasses
import functools
from typing import Literal

from compare_gan.core.errors import UserError, did_you_mean

# true: all true labels. few: only the kept ones. few_only: these, without the unlabelled images. inferred,
# soft: inferred from the kept ones, as classes or probabilities. noisy: true labels with the confusion matrix
# of the inferred ones. clusters: cluster indices of features learned without labels. random: drawn once.
# single: the same label for all images. none: no labels.
Labels = Literal[
    "true", "few", "few_only", "inferred", "soft", "noisy", "clusters", "random", "single", "none"
]


@dataclasses.dataclass(frozen=True)
class Method:
    """A training method, selectable with `--methods`."""

    name: str
    title: str  # for tables and reports
    labels: Labels
    recipe: str  # name of the configuration in configs/methods
    parts: tuple[str, ...] = ()  # names of `PARTS`, configurations in configs/parts

    @property
    def from_few(self) -> bool:
        """Whether the method depends on which labels are kept."""
        return self.labels in ("few", "few_only", "inferred", "soft", "noisy")

    @property
    def needs_inference(self) -> bool:
        """Whether labels are inferred from the kept ones, or taken from the user's label file."""
        return self.labels in ("inferred", "soft", "noisy")

    @property
    def needs_every_label(self) -> bool:
        """Whether the method reads the true label of every training image."""
        return self.labels in ("true", "noisy")

    @property
    def recipes(self) -> tuple[str, ...]:
        """The names of its configurations, in the order in which they are read."""
        return (self.recipe, *self.parts)

    @property
    def base(self) -> str:
        """The name without parts."""
        return self.name.partition("+")[0]


# Methods that others are compared with.
ALL_LABELS, NO_LABELS, LABELLED_ONLY = "all_labels", "no_labels", "labelled_only"
LABEL_METHODS = {
    method.name: method
    for method in (
        Method(ALL_LABELS, "All labels", "true", "conditional"),
        Method("all_labels_rotation", "All labels, rotation", "true", "s3gan"),
        Method("noise_matched", "Noise-matched labels", "noisy", "conditional"),
        Method("s3gan", "S3GAN", "inferred", "s3gan"),
        Method("s3gan_soft", "S3GAN, soft labels", "soft", "s3gan"),
        Method("s2gan", "S2GAN", "inferred", "conditional"),
        Method("s2gan_soft", "S2GAN, soft labels", "soft", "conditional"),
        Method("s3gan_co", "S3GAN-CO", "few", "s3gan_co"),
        Method("s3gan_co_soft", "S3GAN-CO, soft labels", "few", "s3gan_co_soft"),
        Method("s2gan_co", "S2GAN-CO", "few", "s2gan_co"),
        Method("s2gan_co_soft", "S2GAN-CO, soft labels", "few", "s2gan_co_soft"),
        Method(LABELLED_ONLY, "Labelled images only", "few_only", "conditional"),
        Method("clustering", "Clustering", "clusters", "conditional"),
        Method("ssgan", "SSGAN", "none", "ssgan"),
        Method("random_label", "Random label", "random", "conditional"),
        Method("single_label", "Single label", "single", "conditional"),
        Method(NO_LABELS, "No labels", "none", "no_labels"),
    )
}
OVERSAMPLED = "oversampled"  # the part that only co-training can have
PARTS = {  # name -> title
    "diffaugment": "DiffAugment",
    "ada": "ADA",
    "lecam": "LeCam",
    "r1": "R1",
    OVERSAMPLED: "labelled images oversampled",
}


@functools.cache
def method(name: str) -> Method:
    """The method with this name, such as "s3gan", or "s3gan+diffaugment": S3GAN with a part of `PARTS`.

    The parts of the result are in the order of `PARTS`, and so is its name.

    Raises:
      UserError: unknown name or part, a repeated part, or `oversampled` for a method that does not train on
        labelled and unlabelled images.
    """
    base, *parts = name.split("+")
    if base not in LABEL_METHODS:
        raise UserError(f"unknown method {base!r}{did_you_mean(base, LABEL_METHODS)}")
    found = LABEL_METHODS[base]
    for part in parts:
        if part not in PARTS:
            raise UserError(f"method {name}: unknown part {part!r}{did_you_mean(part, PARTS)}")
    if len({*parts}) < len(parts):
        raise UserError(f"method {name}: names a part twice")
    if OVERSAMPLED in parts and found.labels != "few":
        co = [other.name for other in LABEL_METHODS.values() if other.labels == "few"]
        raise UserError(f"method {name}: {OVERSAMPLED} is only for co-training: {', '.join(co)}")
    if not parts:
        return found
    ordered = tuple(part for part in PARTS if part in parts)
    return dataclasses.replace(
        found,
        name="+".join((base, *ordered)),
        title=", ".join((found.title, *(PARTS[part] for part in ordered))),
        parts=ordered,
    )


def find_method(name: str) -> Method | None:
    """The method with this name; None if there is none."""
    try:
        return method(name)
    except UserError:
        return None


def rank(name: str) -> tuple[int, tuple[int, ...]]:
    """A sort key: the order of `LABEL_METHODS`, then that of `PARTS`."""
    order = list(PARTS)
    found = method(name)
    return list(LABEL_METHODS).index(found.base), tuple(order.index(part) for part in found.parts)

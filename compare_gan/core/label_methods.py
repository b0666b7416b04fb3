"""The GAN methods compared when labels are scarce: which labels each gets, and the recipe that uses them.

Lucic et al., https://arxiv.org/abs/1903.02271, section 3, and the baselines of section 4 except those that
add self-supervision to clusters, random labels or a single label. `all_labels_rotation` is a control:
`all_labels` with the rotation task that S3GAN adds to S2GAN.
"""

import dataclasses
from typing import Literal

from compare_gan.core.errors import UserError, did_you_mean

# true: all true labels. few: only the kept ones. inferred, soft: inferred from the kept ones, as classes or
# probabilities. clusters: cluster indices of features learned without labels. random: drawn once. single: the
# same label for all images. none: no labels.
Labels = Literal["true", "few", "inferred", "soft", "clusters", "random", "single", "none"]


@dataclasses.dataclass(frozen=True)
class Method:
    """A training method, selectable with `--methods`."""

    name: str
    title: str  # for tables and reports
    labels: Labels
    recipe: str  # name of the configuration in configs/methods

    @property
    def from_few(self) -> bool:
        """Whether the method depends on which labels are kept."""
        return self.labels in ("few", "inferred", "soft")


LABEL_METHODS = {
    method.name: method
    for method in (
        Method("all_labels", "All labels", "true", "conditional"),
        Method("all_labels_rotation", "All labels, rotation", "true", "s3gan"),
        Method("s3gan", "S3GAN", "inferred", "s3gan"),
        Method("s3gan_soft", "S3GAN, soft labels", "soft", "s3gan"),
        Method("s2gan", "S2GAN", "inferred", "conditional"),
        Method("s2gan_soft", "S2GAN, soft labels", "soft", "conditional"),
        Method("s3gan_co", "S3GAN-CO", "few", "s3gan_co"),
        Method("s3gan_co_soft", "S3GAN-CO, soft labels", "few", "s3gan_co_soft"),
        Method("s2gan_co", "S2GAN-CO", "few", "s2gan_co"),
        Method("s2gan_co_soft", "S2GAN-CO, soft labels", "few", "s2gan_co_soft"),
        Method("clustering", "Clustering", "clusters", "conditional"),
        Method("ssgan", "SSGAN", "none", "ssgan"),
        Method("random_label", "Random label", "random", "conditional"),
        Method("single_label", "Single label", "single", "conditional"),
        Method("no_labels", "No labels", "none", "no_labels"),
    )
}


def method(name: str) -> Method:
    """The method with this name.

    Raises:
      UserError: unknown name.
    """
    if name not in LABEL_METHODS:
        raise UserError(f"unknown method {name!r}{did_you_mean(name, LABEL_METHODS)}")
    return LABEL_METHODS[name]

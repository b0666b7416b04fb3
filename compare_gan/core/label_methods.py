"""The GANs that are trained when labels are few: which labels each gets, and what it makes of them.

Lucic et al., https://arxiv.org/abs/1903.02271, section 3, and the baselines of section 4 but for those that
add self-supervision to clusters, random labels or a single label. `all_labels_rotation` is a control: it
is to `all_labels` what S3GAN is to S2GAN.
"""

import dataclasses
from typing import Literal

from compare_gan.core.errors import UserError, did_you_mean

# true: all of them. few: those that are kept. inferred, soft: what was inferred from these, as classes or as
# probabilities. clusters: of features that were learned without labels. random: drawn once. single: one for
# all images. none: no label.
Labels = Literal["true", "few", "inferred", "soft", "clusters", "random", "single", "none"]


@dataclasses.dataclass(frozen=True)
class Method:
    """A training method, selectable with `--methods`."""

    name: str
    title: str  # what readers call it
    labels: Labels
    recipe: str  # the file of configs/methods that says what is done with the labels

    @property
    def from_few(self) -> bool:
        """Whether it matters which labels are kept."""
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
    """The method of a name.

    Raises:
      UserError: there is none of that name.
    """
    if name not in LABEL_METHODS:
        raise UserError(f"unknown method {name!r}{did_you_mean(name, LABEL_METHODS)}")
    return LABEL_METHODS[name]

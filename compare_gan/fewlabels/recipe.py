"""Label recipes: the hyperparameters of label inference."""

import dataclasses
from typing import Literal, get_args

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.features.resnet import BODIES
from compare_gan.fewlabels.calibration import NUM_FOLDS
from compare_gan.training.augment import Augmentation
from compare_gan.training.encoder import EncoderTraining

Classifier = Literal["s4l", "linear", "clusters"]


@dataclasses.dataclass(frozen=True)
class LabelRecipe:
    """Hyperparameters of label inference.

    Raises:
      UserError: a value is unknown or out of range.
    """

    classifier: Classifier = "s4l"  # fine-tuned encoder, linear on fixed features, or k-means clusters
    encoder: str = "small"  # an architecture of `compare_gan.features.resnet.BODIES`
    width: int = 32  # channels of the encoder's first layer
    pretrain_steps: int = 300
    classify_steps: int = 300
    labelled_batch: int = 32  # labelled images per s4l step, in addition to training.batch_size of all images
    rotation_weight: float = 1.0  # of the rotation loss, relative to the class loss
    class_rotations: bool = False  # class loss on all four rotations; not for digits: a rotated 6 is a 9
    pseudo_weight: float = 0.0  # of the FixMatch-like loss on confident pseudo-labels
    calibration_fits: int = 2  # extra classifiers to fit the temperature; 0: hold out labels, see `s4l`
    clusters: int = 50
    confidence: float | None = None  # images with a lower predicted probability stay unlabelled
    training: EncoderTraining = EncoderTraining()

    def __post_init__(self):
        if self.classifier not in get_args(Classifier):
            known = did_you_mean(self.classifier, get_args(Classifier))
            raise UserError(f"no classifier is called {self.classifier!r}{known}")
        if self.encoder not in BODIES:
            raise UserError(f"no encoder is called {self.encoder!r}{did_you_mean(self.encoder, BODIES)}")
        for name in ("width", "pretrain_steps", "classify_steps", "labelled_batch", "clusters"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("rotation_weight", "pseudo_weight"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.calibration_fits < NUM_FOLDS:
            raise UserError(f"calibration_fits is {self.calibration_fits}; it must be 0 to {NUM_FOLDS - 1}")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise UserError(f"confidence is {self.confidence}; it must be a probability between 0 and 1")


# Recipes by kind of image; adapt one with `dataclasses.replace`.
RECIPES = {
    # Small images whose class changes when rotated or mirrored; half a minute on two CPU cores.
    "digits": LabelRecipe(),
    # Photographs of about 32x32 pixels, on a CPU. Unlike S4L, adds FixMatch-like pseudo-labels (strong
    # augmentation with cutout, weight 1), computes the class loss on upright images only, and holds out a
    # tenth of the kept labels to fit the temperature, so only nine tenths are trained on.
    "photos": LabelRecipe(
        encoder="halved",
        width=64,
        pretrain_steps=3000,
        classify_steps=6000,
        labelled_batch=64,
        pseudo_weight=1.0,
        calibration_fits=0,
        training=EncoderTraining(
            batch_size=32,
            weight_decay=0.05,
            augmentation=Augmentation(max_shift=3, mirror=True, color=0.2, cutout=8),
        ),
    ),
    # The same on a GPU, with a wider encoder, larger batches and more steps.
    "photos_gpu": LabelRecipe(
        encoder="wide28",
        width=32,
        pretrain_steps=6000,
        classify_steps=12000,
        labelled_batch=64,
        pseudo_weight=1.0,
        calibration_fits=0,
        training=EncoderTraining(
            batch_size=192,
            weight_decay=0.05,
            augmentation=Augmentation(max_shift=4, mirror=True, color=0.4, cutout=12),
        ),
    ),
    # Rotation pre-training and S4L without additions, for photographs of about 32x32 pixels: class and
    # rotation losses on all four rotations of each image, predictions averaged over these (and over mirror
    # images), no pseudo-labels. All kept labels are trained on; one extra classifier is trained to fit the
    # temperature. Encoder, optimiser (AdamW) and steps are sized for a CPU and differ from the papers:
    # docs/papers.md.
    "paper": LabelRecipe(
        encoder="halved",
        width=64,
        pretrain_steps=3000,
        classify_steps=6000,
        class_rotations=True,
        calibration_fits=1,
        training=EncoderTraining(
            batch_size=32, weight_decay=1e-3, augmentation=Augmentation(max_shift=3, mirror=True)
        ),
    ),
}

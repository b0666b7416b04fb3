"""Label recipes: the hyperparameters of label inference."""

import dataclasses
from typing import Literal, get_args

from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.words import listed
from compare_gan.features.resnet import BODIES
from compare_gan.fewlabels.calibration import NUM_FOLDS
from compare_gan.nn.options import Precision
from compare_gan.training.augment import Augmentation
from compare_gan.training.encoder import EncoderTraining
from compare_gan.training.objectives import PRETRAINING

Classifier = Literal["s4l", "fixmatch", "linear", "clusters"]


@dataclasses.dataclass(frozen=True)
class LabelRecipe:
    """Hyperparameters of label inference.

    >>> cg.LabelRecipe(classify_steps=600).classifier
    's4l'

    Raises:
      UserError: a value is unknown or out of range.
    """

    # Encoder fine-tuned with S4L or FixMatch, linear on fixed features, or k-means clusters.
    classifier: Classifier = "s4l"
    pretraining: str = "rotation"  # a name of `compare_gan.training.objectives.PRETRAINING`
    encoder: str = "small"  # an architecture of `compare_gan.features.resnet.BODIES`
    width: int = 32  # channels of the encoder's first layer
    pretrain_steps: int = 300
    classify_steps: int = 300
    labelled_batch: int = 32  # labelled images per step, in addition to `training.batch_size` of all images
    balanced: bool = False  # draw labelled images of each class equally often, for uneven label files
    rotation_weight: float = 1.0  # of the rotation loss, relative to the class loss
    class_rotations: bool = False  # class loss on all four rotations; not for digits: a rotated 6 is a 9
    pseudo_weight: float = 0.0  # of a loss of s4l on confident pseudo-labels; fixmatch has its own
    calibration_fits: int = 2  # extra classifiers to fit the temperature; 0: hold out labels, see `fine_tune`
    clusters: int = 50
    confidence: float | None = None  # images with a lower predicted probability stay unlabelled
    training: EncoderTraining = EncoderTraining()
    precision: str = "float32"  # of the encoder's convolutions in training, see `nn.options.Precision`

    @property
    def fine_tunes(self) -> bool:
        """Whether the classifier is a fine-tuned encoder, not one on fixed features."""
        return self.classifier in ("s4l", "fixmatch")

    def __post_init__(self):
        if self.classifier not in get_args(Classifier):
            known = did_you_mean(self.classifier, get_args(Classifier))
            raise UserError(f"no classifier is called {self.classifier!r}{known}")
        Precision(self.precision)  # these two raise a UserError for an unknown name
        PRETRAINING[self.pretraining]
        if self.encoder not in BODIES:
            raise UserError(f"no encoder is called {self.encoder!r}{did_you_mean(self.encoder, BODIES)}")
        for name in ("width", "pretrain_steps", "classify_steps", "labelled_batch", "clusters"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("rotation_weight", "pseudo_weight"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.classifier == "fixmatch" and (self.class_rotations or self.pseudo_weight):
            raise UserError(
                "class_rotations and pseudo_weight are for the classifier s4l; for fixmatch choose another "
                "recipe, such as grey_fixmatch or photos_fixmatch"
            )
        if not 0 <= self.calibration_fits < NUM_FOLDS:
            raise UserError(f"calibration_fits is {self.calibration_fits}; it must be 0 to {NUM_FOLDS - 1}")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise UserError(f"confidence is {self.confidence}; it must be a probability between 0 and 1")

    def for_images(self, mirror: bool) -> "LabelRecipe":
        """The recipe, without mirrored images if these mean something else: `mirror` is False."""
        if mirror:
            return self
        augmentation = dataclasses.replace(self.training.augmentation, mirror=False)
        return dataclasses.replace(
            self, training=dataclasses.replace(self.training, augmentation=augmentation)
        )


def photos(side: int) -> LabelRecipe:
    """The recipe for photographs of about `side` pixels, 32, 64 or 128, on a CPU.

    Unlike S4L, adds FixMatch-like pseudo-labels (strong augmentation with cutout, weight 1), computes the
    class loss on upright images only, and holds out a tenth of the kept labels to fit the temperature, so
    only nine tenths are trained on. Shift and cutout are the same parts of an image at each size, and the
    width shrinks so that a step costs about the same.
    """
    scale = side // 32
    return LabelRecipe(
        encoder="halved" if scale == 1 else "halved_deep",
        width=64 // scale,
        pretrain_steps=3000,
        classify_steps=6000,
        labelled_batch=64,
        pseudo_weight=1.0,
        calibration_fits=0,
        training=EncoderTraining(
            batch_size=32,
            weight_decay=0.05,
            augmentation=Augmentation(max_shift=3 * scale, mirror=True, color=0.2, cutout=8 * scale),
        ),
    )


def photos_gpu(side: int) -> LabelRecipe:
    """The same on a GPU, with a larger encoder, larger batches and more steps.

    Above 32 pixels the encoder is a ResNet-50, whose stem reduces the image to a quarter; a batch of 128x128
    images is smaller, so that it takes no more memory.
    """
    scale = side // 32
    return LabelRecipe(
        encoder="wide28" if scale == 1 else "resnet50",
        width=32 if scale == 1 else 64,
        pretrain_steps=6000,
        classify_steps=12000,
        labelled_batch=64,
        pseudo_weight=1.0,
        calibration_fits=0,
        training=EncoderTraining(
            batch_size=64 if scale == 4 else 192,
            weight_decay=0.05,
            augmentation=Augmentation(max_shift=4 * scale, mirror=True, color=0.4, cutout=12 * scale),
        ),
    )


def grey_fixmatch() -> LabelRecipe:
    """The recipe for grey images of about 28 pixels, with FixMatch: its augmentations, and a moving average.

    Most of a batch is unlabelled. A tenth of the kept labels is held out to fit the temperature.
    """
    return LabelRecipe(
        classifier="fixmatch",
        encoder="halved",
        width=32,
        pretrain_steps=500,
        classify_steps=5000,
        rotation_weight=0.0,
        calibration_fits=0,
        training=EncoderTraining(
            batch_size=64,
            weight_decay=0.02,
            average_decay=0.999,
            augmentation=Augmentation(max_shift=2),
        ),
    )


def photos_fixmatch() -> LabelRecipe:
    """The same for photographs of about 32 pixels: a wider encoder, and mirror images."""
    grey = grey_fixmatch()
    return dataclasses.replace(
        grey,
        width=64,
        pretrain_steps=1000,
        classify_steps=10000,
        training=dataclasses.replace(
            grey.training, batch_size=96, augmentation=Augmentation(max_shift=4, mirror=True)
        ),
    )


# Recipes by kind of image; adapt one with `dataclasses.replace`.
RECIPES = {
    # Small images whose class changes when rotated or mirrored; half a minute on two CPU cores.
    "digits": LabelRecipe(),
    # Grey photographs of about 28x28 pixels, in less than a minute on two CPU cores, for the demo. In so few
    # steps pseudo-labels teach more than rotations, which are left out after pre-training.
    "fashion": LabelRecipe(
        encoder="halved",
        width=16,
        pretrain_steps=300,
        classify_steps=1200,
        labelled_batch=64,
        rotation_weight=0.0,
        pseudo_weight=1.0,
        calibration_fits=0,
        training=EncoderTraining(augmentation=Augmentation(max_shift=2, cutout=8)),
    ),
    # Grey images of about 28x28 pixels, such as digits, letters or clothes, never mirrored. Five to ten times
    # the steps of `digits` and larger batches of labelled images, for tens of thousands of images.
    "grey": LabelRecipe(
        encoder="halved",
        width=32,
        pretrain_steps=1500,
        classify_steps=3000,
        labelled_batch=64,
        calibration_fits=0,
        training=EncoderTraining(augmentation=Augmentation(max_shift=2)),
    ),
    "grey_fixmatch": grey_fixmatch(),
    "photos": photos(32),
    "photos_fixmatch": photos_fixmatch(),
    "photos_gpu": photos_gpu(32),
    "photos64": photos(64),
    "photos64_gpu": photos_gpu(64),
    "photos128": photos(128),
    "photos128_gpu": photos_gpu(128),
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
# The smallest and largest sides of images that a recipe can work for. Larger ones exceed what the encoder
# sees at once; on smaller ones, cutout removes half of the image or more.
RECIPE_SIDES = {
    "digits": (1, 32),
    "fashion": (16, 64),
    "grey": (12, 64),
    "grey_fixmatch": (12, 64),
    "photos": (16, 64),
    "photos_fixmatch": (16, 64),
    "photos_gpu": (24, 64),
    "photos64": (32, 128),
    "photos64_gpu": (48, 128),
    "photos128": (64, 256),
    "photos128_gpu": (96, 256),
    "paper": (12, 64),
}


def label_recipe(name: str, side: int | None = None) -> LabelRecipe:
    """The label recipe with this name.

    Args:
      name: a name of `RECIPES`.
      side: of the images, in pixels; None: not checked.

    Raises:
      UserError: there is none, or it cannot work for images of this side.
    """
    if name not in RECIPES:
        raise UserError(f"unknown label recipe {name!r}{did_you_mean(name, RECIPES)}")
    least, most = RECIPE_SIDES[name]
    if side is not None and not least <= side <= most:
        others = [other for other, (low, high) in RECIPE_SIDES.items() if low <= side <= high]
        better = f"--label_recipe {listed(others, 'or')}, or " if others else ""
        raise UserError(
            f"label recipe {name} is for images of {least} to {most} pixels a side, and these have {side}; "
            f"choose {better}another --image_size"
        )
    return RECIPES[name]

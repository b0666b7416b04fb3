"""A study small enough for a test: 4x4 images of three classes, networks of a few hundred parameters."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from compare_gan.config.parse import parse
from compare_gan.config.recipes import recipe
from compare_gan.core.label_methods import LABEL_METHODS, method
from compare_gan.core.types import ImageSpec
from compare_gan.data.base import ImageDataset, Split
from compare_gan.evaluation.evaluate import EvalSettings
from compare_gan.features.base import FeaturesAndClasses
from compare_gan.fewlabels import LabelRecipe
from compare_gan.fewlabels.study import ConfiguredGAN, Study
from compare_gan.training.encoder import EncoderTraining
from compare_gan.training.schedule import TrainSchedule
from tests.gans import tiny

SEED, SHARE = 5, 0.2
RECIPE = LabelRecipe(
    width=4,
    pretrain_steps=4,
    classify_steps=4,
    labelled_batch=4,
    calibration_fits=0,
    clusters=3,
    training=EncoderTraining(batch_size=4),
)


@functools.cache
def dataset() -> ImageDataset:
    """Noise images; the class is the half that is bright: upper, lower or left."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        labels = np.arange(count, dtype=np.int32) % 3
        images = rng.integers(0, 100, (count, 4, 4, 1), np.uint8)
        for image, label in zip(images, labels, strict=True):
            half = (slice(2), slice(2, 4), (slice(None), slice(2)))[label]
            image[half] += 100
        return Split(images, labels)

    return ImageDataset("halves", split(60), split(30), ("upper", "lower", "left"))


class Brightness:
    """A hand-made extractor: the mean brightness of each quarter of an image."""

    name, sha256, class_names = "brightness", "0", ()

    def __call__(self, images, batch_size=None):
        quarters = images.reshape(len(images), 2, 2, 2, 2).mean((2, 4)).reshape(len(images), 4)
        return FeaturesAndClasses(quarters, np.zeros((len(images), 0)))


@functools.cache
def configured(names: tuple[str, ...]) -> ConfiguredGAN:
    """The GAN of packaged recipes, with tiny networks."""
    parsed = parse([recipe("small"), *map(recipe, names)], ["options.batch_size = 8", "options.z_dim = 5"])

    def gan(spec: ImageSpec):
        packaged = parsed.gan(ImageSpec((8, 8, 1), spec.num_classes))
        networks = dict(make_generator=tiny.Generator, make_discriminator=tiny.Discriminator)
        return dataclasses.replace(packaged, spec=spec, layers=tiny.LAYERS, **networks).validate()

    return ConfiguredGAN(gan, parsed.operative_config)


def small_study(folder: Path, *methods: str, **changes) -> Study:
    """A study of the named methods (default: all), with other fields replaced by `changes`."""
    chosen = tuple(map(method, methods or LABEL_METHODS))
    study = Study(
        folder=folder,
        dataset=dataset(),
        methods=chosen,
        budgets=(SHARE,),
        seeds=(SEED,),
        configured={each.recipes: configured(each.recipes) for each in chosen},
        recipe=RECIPE,
        schedule=TrainSchedule(3, log_every=2, sample_every=3, save_every=3),
        evaluation=EvalSettings(images=20),
        extractor=Brightness(),
        settings={"data": "halves", "reading": {}},
        flat=True,
    )
    return dataclasses.replace(study, **changes)

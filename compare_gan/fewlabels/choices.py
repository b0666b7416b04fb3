"""Choices for a study that the user leaves open: networks, label recipe, steps, image size and extractor.

`choose` is a pure function of `Facts`. The numbers are a compromise: on two CPU cores a GAN takes about a
minute for 8x8 digits, half an hour for grey images of 28x28 and some hours for photographs; on one modest GPU
it should take about an hour (estimated, not measured). With few images every stage is shorter, because more
epochs would only memorise them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from compare_gan.architectures.resnet_small import smallest
from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.data.base import ImageDataset
from compare_gan.data.loading import LoadOptions
from compare_gan.data.records import StoredSplit
from compare_gan.data.source import FAKE, Source, find, open_dataset, with_preset
from compare_gan.features.public import INCEPTION
from compare_gan.fewlabels.recipe import RECIPES, LabelRecipe
from compare_gan.fewlabels.settings import packaged_extractor

SIDES = (8, 16, 32, 64, 128)  # images that need resizing become squares of one of these sides
MAX_SIDE, MAX_SIDE_CPU = 128, 64  # a step at 128x128 takes ten seconds or more on a CPU
DIGITS_SIDE = 16  # up to here the networks and the recipe of the digits demo fit
GREY_SIDE = 32  # up to here grey images are probably digits, letters or clothes, not photographs
STEPS_DIGITS, STEPS_GREY, STEPS_32, STEPS_LARGER, STEPS_ACCELERATOR = 1500, 5000, 5000, 3000, 30_000
GAN_EPOCHS, MIN_GAN_STEPS = 500, 1500  # limits for few images
ENCODER_EPOCHS, MIN_ENCODER_STEPS = 100, 300
# On a CPU, generating STATISTICS_EXAMPLES photographs takes about as long as training; a tenth is still
# hundreds of batches.
STATISTICS_EXAMPLES_CPU = STATISTICS_EXAMPLES // 10
BATCH = 64  # of the packaged networks, to convert epochs to steps
SIZES_SAMPLED, PIXELS_SAMPLED = 256, 8  # stored images that are looked at


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the choices depend on."""

    side: int  # median of the shorter sides of the stored images, in pixels
    uniform: bool  # whether all images are squares of this side
    channels: int  # 1: grey, 3: RGB
    num_images: int  # training images, approximately
    platform: str  # "cpu", "gpu" or "tpu", see `jax.default_backend`
    packaged_extractor: str | None = None  # made for this data set
    inception: bool = False  # whether the weights of the Inception network are on this machine


@dataclasses.dataclass(frozen=True)
class Choices:
    """The choices for a study."""

    image_size: int | None  # centre-crop and resize images to this side; None: as stored
    gin_config: str  # name of a packaged configuration of networks and training
    label_recipe: str  # a name of `RECIPES`
    steps: int  # of each GAN
    extractor: str | None  # for scores; None: the pre-trained encoder
    statistics_examples: int = STATISTICS_EXAMPLES  # generated images for batch statistics, before scores
    pretrain_steps: int | None = None  # of the encoder; None: those of the recipe
    classify_steps: int | None = None

    @property
    def inference(self) -> dict[str, Any]:
        """The fields of the recipe that are overridden."""
        steps = {"pretrain_steps": self.pretrain_steps, "classify_steps": self.classify_steps}
        return {name: value for name, value in steps.items() if value is not None}

    @property
    def recipe(self) -> LabelRecipe:
        """The label recipe."""
        return dataclasses.replace(RECIPES[self.label_recipe], **self.inference)


def choose(facts: Facts, image_size: int | None = None) -> Choices:
    """The choices for these images and this device.

    Args:
      facts: about the images and the device.
      image_size: the side that the user chose; None: `fitting_size`.
    """
    accelerator = facts.platform != "cpu"
    size = fitting_size(facts) if image_size is None else image_size
    side = facts.side if size is None else size
    if side <= DIGITS_SIDE:
        networks, recipe, steps = "small.gin", "digits", STEPS_DIGITS
    elif side <= GREY_SIDE and facts.channels == 1:
        networks, recipe, steps = "small.gin", "grey", STEPS_ACCELERATOR if accelerator else STEPS_GREY
    else:
        scale = next((known for known in (32, 64) if side <= known), 128)
        networks = f"small{scale}.gin"
        recipe = ("photos" if scale == 32 else f"photos{scale}") + ("_gpu" if accelerator else "")
        steps = STEPS_ACCELERATOR if accelerator else STEPS_32 if scale == 32 else STEPS_LARGER
    limits = {}
    for name in ("pretrain_steps", "classify_steps"):
        batches = ENCODER_EPOCHS * facts.num_images / RECIPES[recipe].training.batch_size
        if (limit := max(MIN_ENCODER_STEPS, _rounded(batches))) < getattr(RECIPES[recipe], name):
            limits[name] = limit
    # Scores by Inception can be compared across studies, but on a CPU the features of thousands of images
    # take an hour. Otherwise scores use the encoder that the study trains on these images.
    photographs = facts.channels == 3 and side >= 32
    extractor = "inception" if facts.inception and accelerator and photographs else None
    if size in (None, facts.side) and facts.packaged_extractor is not None:
        extractor = facts.packaged_extractor
    steps = min(steps, max(MIN_GAN_STEPS, _rounded(GAN_EPOCHS * facts.num_images / BATCH)))
    statistics = STATISTICS_EXAMPLES if accelerator or side <= DIGITS_SIDE else STATISTICS_EXAMPLES_CPU
    return Choices(size, networks, recipe, steps, extractor, statistics, **limits)


def _rounded(steps: float) -> int:
    """Down to hundreds."""
    return int(steps) // 100 * 100


def fitting_size(facts: Facts) -> int | None:
    """The side to which images are resized; None: they are used as stored.

    Images are used as stored if all are squares of a side that the packaged networks can make, at most 128
    pixels, 64 on a CPU. Others are resized to the largest of `SIDES` that does not enlarge most of them.
    """
    largest = MAX_SIDE_CPU if facts.platform == "cpu" else MAX_SIDE
    if facts.uniform and facts.side <= largest and _can_be_made(facts.side):
        return None
    return max((side for side in SIDES if side <= min(facts.side, largest)), default=SIDES[0])


def _can_be_made(side: int) -> bool:
    """Whether the networks of the packaged small*.gin can make images of this side."""
    try:
        smallest(ImageSpec((side, side, 3)))
    except UserError:
        return False
    return True


def facts_of_source(source: Source, reading: LoadOptions, platform: str | None = None) -> Facts:
    """Facts about a source, from the sizes of a sample of its images; pixels of a few are decoded.

    Args:
      source: the source.
      reading: how it is read.
      platform: where GANs are trained; None: here.

    Raises:
      UserError: there is no such source, or it contains no images.
    """
    if isinstance(source, str):
        if source.startswith(FAKE):
            return facts_of_dataset(open_dataset(source), platform)
        reading = with_preset(source, reading)
    contents = find(source, reading)
    side, uniform, channels = _sampled([part for part in (contents.train, contents.test) if part is not None])
    if reading.preset_preprocessing is not None:
        side, uniform, channels = reading.preset_preprocessing.image_shape[0], True, channels
    return _facts(side, uniform, channels, len(contents.train), source, platform)


def facts_of_dataset(dataset: ImageDataset, platform: str | None = None) -> Facts:
    """Facts about an opened data set, for training on `platform`; None: here."""
    h, w, channels = dataset.spec.image_shape
    source = None if dataset.origin is None else dataset.origin.data
    return _facts(min(h, w), h == w, channels, len(dataset.train), source, platform)


def fitting_recipe(dataset: ImageDataset) -> LabelRecipe:
    """The label recipe for the images of an opened data set on this device."""
    facts = facts_of_dataset(dataset)
    return choose(facts, facts.side).recipe.for_images(dataset.mirror)


def _facts(
    side: int,
    uniform: bool,
    channels: int,
    num_images: int,
    source: Source | None,
    platform: str | None,
) -> Facts:
    platform = platform or jax.default_backend()
    inception = platform != "cpu" and INCEPTION.local() is not None  # reads the whole file
    return Facts(side, uniform, channels, num_images, platform, packaged_extractor(source), inception)


def _sampled(parts: Sequence[StoredSplit]) -> tuple[int, bool, int]:
    """The median shorter side, whether all are squares of this side, and the number of channels.

    Images that cannot be read are left out: they are reported when the data is loaded.
    """
    sizes, channels = list[tuple[int, int]](), 1
    for part in parts:
        for i in _spaced(len(part), SIZES_SAMPLED):
            try:
                sizes.append(part.records.size(i))
            except UserError:
                continue
        for i in _spaced(len(part), PIXELS_SAMPLED):
            try:
                channels = max(channels, part.records[i].shape[2])
            except UserError:
                continue
    if not sizes:
        return SIDES[0], True, channels
    side = int(np.median([min(size) for size in sizes]))
    return side, set(sizes) == {(side, side)}, channels


def _spaced(count: int, sampled: int) -> list[int]:
    """At most `sampled` different indices below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, sampled)).astype(int)).tolist()


def describe(choices: Choices, facts: Facts, names: Sequence[str], where: str | None = None) -> str | None:
    """One line on what was chosen, and the options that change it; None if the user chose everything.

    Args:
      choices: the choices, including those of the user.
      facts: what they were chosen for.
      names: the fields that the user left open, in any order.
      where: the study folder from which they were taken, if they are not new.
    """
    device = "a CPU" if facts.platform == "cpu" else f"a {facts.platform.upper()}"
    items = []
    if "image_size" in names and choices.image_size is not None:
        stored = f"{facts.side}x{facts.side}" if facts.uniform else f"of several sizes (median {facts.side})"
        limited = facts.platform == "cpu" and facts.side > MAX_SIDE_CPU == choices.image_size
        limit = f", on a CPU at most {MAX_SIDE_CPU}" if limited else ""
        size = f"{choices.image_size}x{choices.image_size}"
        items.append(f"images {stored} are cropped and resized to {size} (--image_size{limit})")
    if "gin_config" in names:
        items.append(f"networks {choices.gin_config} (--gin_config)")
    if "label_recipe" in names:
        items.append(f"label recipe {choices.label_recipe} (--label_recipe)")
    if "steps" in names:
        items.append(f"{choices.steps:,} steps per GAN (--steps)")
    if "extractor" in names:
        items.append(f"scores by {choices.extractor or 'the pre-trained encoder'} (--extractor)")
    side = choices.image_size or facts.side
    grey = "grey" if facts.channels == 1 else "colour"
    start = f"as in {where}" if where else f"chosen for {grey} images of {side}x{side} on {device}"
    return f"{start}: {', '.join(items)}" if items else None

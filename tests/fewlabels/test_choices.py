"""What is chosen if the user leaves it open."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.base import ImageDataset, Split
from compare_gan.fewlabels.choices import (
    Choices,
    Facts,
    choose,
    describe,
    facts_of_dataset,
    facts_of_source,
    fitting_recipe,
)
from compare_gan.fewlabels.recipe import RECIPE_SIDES, RECIPES, label_recipe
from compare_gan.studies import StudyRequest, configurations, open_study, settings_of

ALL = ("image_size", "gin_config", "label_recipe", "steps", "extractor")
CPU = Facts(side=32, uniform=True, channels=3, num_images=50_000, platform="cpu")
GPU = dataclasses.replace(CPU, platform="gpu")


def of(facts=CPU, **changes):
    return dataclasses.replace(facts, **changes)


def images_in_folders(folder, shapes, mode="RGB"):
    """A PNG and a JPEG in turn for each (height, width), in two class folders."""
    rng = np.random.default_rng(0)
    for i, (h, w) in enumerate(shapes):
        path = folder / f"class {i % 2}" / f"{i}.{'png' if i % 4 < 2 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)).convert(mode).save(path)
    return str(folder)


def test_the_digits_demo_is_unchanged():
    facts = facts_of_source("digits", LoadOptions())
    assert (facts.side, facts.uniform, facts.channels, facts.num_images) == (8, True, 1, 1347)
    choices = choose(facts)
    assert choices == Choices(None, "small.gin", "digits", 1500, "digits", STATISTICS_EXAMPLES)
    assert choices.recipe == RECIPES["digits"]
    assert choose(dataclasses.replace(facts, platform="gpu", inception=True)) == choices


def test_grey_images_of_28_pixels_in_folders(tmp_path):
    images_in_folders(tmp_path / "train", [(28, 28)] * 6, "L")
    images_in_folders(tmp_path / "test", [(28, 28)] * 4, "L")
    facts = facts_of_source(str(tmp_path), LoadOptions())
    assert (facts.side, facts.uniform, facts.channels, facts.num_images) == (28, True, 1, 6)
    many = of(facts, num_images=60_000, platform="cpu")
    assert choose(many) == Choices(None, "small.gin", "grey", 5_000, None, 20_480)
    assert choose(of(many, platform="gpu")) == Choices(None, "small.gin", "grey", 30_000, None)
    assert not RECIPES["grey"].training.augmentation.mirror


@pytest.mark.parametrize("mirror", [True, False])
def test_images_that_must_not_be_mirrored_are_not(tmp_path, mirror):
    """svhn has the size and colours of photographs, but a reading direction."""
    split = Split(np.zeros((40, 32, 32, 3), np.uint8), np.arange(40, dtype=np.int32) % 2)
    dataset = ImageDataset("svhn", split, split, ("2", "5"), mirror=mirror)
    recipe = fitting_recipe(dataset)
    assert recipe.training.augmentation.mirror == mirror
    assert recipe.training.augmentation.max_shift == RECIPES["photos"].training.augmentation.max_shift
    request = StudyRequest(
        dataset,
        ("single_label",),
        fractions=(0.5,),
        gin_config="small32.gin",
        label_recipe="photos",
        steps=1,
        statistics_examples=64,
    )
    study = open_study(settings_of(request, dataset), tmp_path, False, dataset)
    assert study.recipe.training.augmentation.mirror == mirror


def test_photographs_of_32_pixels(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "cifar.npz", images=images, labels=np.arange(20) % 2)
    facts = facts_of_source(str(tmp_path / "cifar.npz"), LoadOptions())
    assert of(facts, platform="cpu", num_images=50_000, inception=False) == CPU
    assert choose(CPU) == Choices(None, "small32.gin", "photos", 5_000, None, 20_480)
    assert choose(GPU) == Choices(None, "small32.gin", "photos_gpu", 30_000, None)
    assert choose(of(GPU, inception=True)).extractor == "inception"
    assert choose(of(CPU, inception=True)).extractor is None


def test_photographs_of_mixed_sizes(tmp_path):
    sides = np.random.default_rng(0).integers(90, 200, (40, 2)).tolist()
    source = images_in_folders(tmp_path, sides)
    facts = facts_of_source(source, LoadOptions())
    shorter = np.median([min(size) for size in sides])
    assert (facts.side, facts.uniform, facts.num_images) == (int(shorter), False, 40)
    cpu, gpu = of(facts, platform="cpu", num_images=200), of(facts, platform="gpu", num_images=200)
    assert choose(cpu) == Choices(64, "small64.gin", "photos64", 1500, None, 20_480, 600, 600)
    assert [choose(of(gpu, side=side)).image_size for side in (40, 127, 128, 400)] == [32, 64, 128, 128]
    assert [choose(of(cpu, side=side)).image_size for side in (40, 127, 128, 400)] == [32, 64, 64, 64]
    assert open_dataset(source, reading=LoadOptions(choose(cpu).image_size)).spec.image_shape == (64, 64, 3)


@pytest.mark.parametrize(
    "facts, size",
    [
        (of(side=64), None),
        (of(side=128), 64),  # as slow as ten images of 32x32
        (of(GPU, side=128), None),
        (of(GPU, side=256), 128),
        (of(side=48), None),
        (of(side=100), 64),  # no packaged networks make 100x100
        (of(side=28, uniform=False), 16),
        (of(side=5), 8),
    ],
)
def test_images_are_resized_only_if_necessary(facts, size):
    assert choose(facts).image_size == size


def test_the_size_that_the_user_chose_decides():
    choices = choose(of(side=300, uniform=False), image_size=128)
    assert (choices.image_size, choices.gin_config, choices.label_recipe) == (
        128,
        "small128.gin",
        "photos128",
    )
    assert choose(of(side=300), image_size=16).label_recipe == "digits"
    digits = facts_of_source("digits", LoadOptions())
    assert choose(digits, image_size=16).extractor is None  # the packaged one is for 8x8


@pytest.mark.parametrize("side, channels", [(8, 3), (14, 1), (28, 1), (28, 3), (48, 3), (64, 1), (128, 3)])
def test_networks_and_recipe_fit_the_images(side, channels):
    for platform in ("cpu", "tpu"):
        choices = choose(of(side=side, channels=channels, platform=platform))
        used = choices.image_size or side
        (configured,) = configurations(choices.gin_config, (), ["s3gan"]).values()
        assert configured.gan(ImageSpec((used, used, channels), 10)).spec.image_shape[0] == used
        assert label_recipe(choices.label_recipe, used) is RECIPES[choices.label_recipe]


def test_every_recipe_has_limits_and_leaves_half_of_an_image():
    assert RECIPE_SIDES.keys() == RECIPES.keys()
    for name, recipe in RECIPES.items():
        assert 2 * recipe.training.augmentation.cutout <= RECIPE_SIDES[name][0]


def test_augmentation_scales_with_the_image():
    for platform in ("", "_gpu"):
        parts = [(side, RECIPES[f"photos{side if side > 32 else ''}{platform}"]) for side in (32, 64, 128)]
        shares = {
            (each.training.augmentation.cutout / side, each.training.augmentation.max_shift / side)
            for side, each in parts
        }
        assert len(shares) == 1


def test_few_images_need_few_steps():
    few = choose(of(num_images=160))
    assert (few.steps, few.recipe.pretrain_steps, few.recipe.classify_steps) == (1500, 500, 500)
    some = choose(of(num_images=1_000))
    assert (some.steps, some.recipe.pretrain_steps, some.recipe.classify_steps) == (5_000, 3_000, 3_100)


def test_facts_of_an_opened_data_set():
    facts = facts_of_dataset(open_dataset("digits"))
    assert facts == facts_of_source("digits", LoadOptions())
    wide = np.zeros((20, 8, 16, 3), np.uint8)
    assert not facts_of_dataset(open_dataset({"images": wide})).uniform


def test_unreadable_images_are_left_to_the_loader(tmp_path):
    source = images_in_folders(tmp_path, [(8, 8)] * 4)
    (tmp_path / "class 0" / "bad.png").write_bytes(b"no image")
    assert facts_of_source(source, LoadOptions()).side == 8


def test_one_line_names_the_choices_and_their_options():
    facts = of(side=240, uniform=False, num_images=160)
    assert describe(choose(facts), facts, ALL) == (
        "chosen for colour images of 64x64 on a CPU: images of several sizes (median 240) are cropped and "
        "resized to 64x64 (--image_size, on a CPU at most 64), networks small64.gin (--gin_config), label "
        "recipe photos64 (--label_recipe), 1,500 steps per GAN (--steps), scores by the pre-trained encoder "
        "(--extractor)"
    )
    assert describe(choose(GPU), GPU, ["steps"]) == (
        "chosen for colour images of 32x32 on a GPU: 30,000 steps per GAN (--steps)"
    )
    assert describe(choose(CPU), CPU, ["steps"], "runs/a") == "as in runs/a: 5,000 steps per GAN (--steps)"
    assert describe(choose(CPU), CPU, []) is None


def test_a_recipe_for_other_images_is_refused():
    with pytest.raises(
        UserError, match="recipe digits is for images of 1 to 32 pixels a side, and these have 128"
    ):
        label_recipe("digits", 128)
    with pytest.raises(UserError, match="choose --label_recipe digits, or another --image_size"):
        label_recipe("photos", 8)

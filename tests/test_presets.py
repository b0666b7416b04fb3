"""`compare_gan.presets`: one function per configuration, with its numbers."""

import doctest
import inspect
import re

import pytest

from compare_gan import presets
from compare_gan.config.explain import image_spec
from compare_gan.config.parse import parse
from compare_gan.config.recipes import NO_SCORE, configurations
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.ssgan import ssgan
from compare_gan.nn.norms import conditional_batch_norm

FOUND = configurations()
COMPLETE = [name for name, each in FOUND.items() if each.combine_with is None]
FUNCTIONS = {
    name: function
    for name, function in inspect.getmembers(presets, inspect.isfunction)
    if function.__module__ == presets.__name__ and not name.startswith("_")
}


def test_each_configuration_has_a_function():
    assert FUNCTIONS.keys() == FOUND.keys()


@pytest.mark.parametrize("name", COMPLETE)
def test_the_docstring_has_paper_and_score(name):
    each, text = FOUND[name], FUNCTIONS[name].__doc__
    assert re.search(r"https://arxiv.org/abs/[\d.]+\d", each.paper)[0] in text
    scores = re.findall(r"FID [\d.]+\d(?:, IS [\d.]+\d)?", text)
    assert scores == ([] if each.score == NO_SCORE else [each.score])


@pytest.mark.parametrize("name", COMPLETE)
def test_a_preset_is_the_configuration_of_its_name(name):
    parsed = parse([name])
    spec = image_spec(parsed.dataset.name, None, None)
    assert FUNCTIONS[name](spec) == parsed.gan(spec)


def test_another_image_size_is_an_error():
    expected = (
        "presets.sngan_cifar10 is for images of 32x32, these are 64x64; open the data with image_size=32"
    )
    with pytest.raises(UserError, match=expected):
        presets.sngan_cifar10(ImageSpec((64, 64, 3)))
    with pytest.raises(UserError, match="presets.small32 is for images of 32x32, these are 32x48"):
        presets.small32(ImageSpec((32, 48, 3)))


SIZES = {"small": (8, 1), "small32": (32, 3), "small64": (64, 3), "small128": (128, 3)}


@pytest.mark.parametrize("name", SIZES)
def test_small_presets_are_bases_of_methods(name):
    side, colors = SIZES[name]
    labelled, plain = ImageSpec((side, side, colors), 10), ImageSpec((side, side, colors))
    base = FUNCTIONS[name](labelled)
    assert base.conditional and not base.tasks and not base.abstract_d.backbone.projects_labels
    assert base.g_options.batch_norm_fn.func is conditional_batch_norm
    assert base.g_options.batch_norm_fn.keywords == {"gamma_offset": 1.0}
    built = s3gan(base, rotated_batch_fraction=2, project_y=True)
    assert built == parse([name, "s3gan"]).gan(labelled)
    unconditional = FUNCTIONS[name](labelled, conditional=False)
    assert unconditional == parse([name, "no_labels"]).gan(labelled)
    assert ssgan(unconditional, rotated_batch_size=16) == parse([name, "ssgan"]).gan(labelled)
    assert not FUNCTIONS[name](plain).conditional


def test_a_conditional_preset_needs_classes():
    with pytest.raises(UserError, match="the data set has no labels"):
        presets.small(ImageSpec((8, 8, 1)), conditional=True)


def test_examples_run():
    failed, tried = doctest.testmod(presets)
    assert tried >= 6 and not failed

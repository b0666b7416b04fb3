"""The packaged configurations build, and differ in their labels only."""

import dataclasses
import functools

import pytest
from flax import nnx

from compare_gan.architectures import resnet_small
from compare_gan.config.edge import parse
from compare_gan.config.recipes import FOLDER, recipe
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.nn.norms import batch_norm, conditional_batch_norm

DIGITS = ImageSpec((8, 8, 1), 10)
WHOLE = ["small_all_labels", "small_no_labels", "small_s3gan"]


def build(name: str):
    return parse([recipe(name)]).gan(DIGITS)


@pytest.mark.parametrize("name", WHOLE)
def test_a_recipe_builds_networks(name):
    parsed = parse([recipe(name)])
    gan = parsed.gan(DIGITS)
    assert parsed.dataset.name == "digits"
    assert parsed.eval_prior == gan.prior
    assert gan.abstract_d.backbone.feature_dim > 0
    nnx.eval_shape(lambda: gan.generator(nnx.Rngs(0)))


def test_labels_enter_as_the_methods_say():
    every, none, few = (build(name) for name in WHOLE)
    assert every.make_discriminator == functools.partial(resnet_small.Discriminator, project_y=True)
    assert few.make_discriminator is none.make_discriminator is resnet_small.Discriminator
    assert (every.conditional, none.conditional, few.conditional) == (True, False, True)
    assert [task.name for task in few.tasks] == ["rotation", "class"]
    assert every.tasks == none.tasks == ()
    assert none.g_options.batch_norm_fn is batch_norm
    norm = functools.partial(conditional_batch_norm, gamma_offset=1.0)
    assert every.g_options.batch_norm_fn == few.g_options.batch_norm_fn == norm


def test_all_else_is_shared():
    every, none, few = (build(name) for name in WHOLE)
    labels = dict(conditional=False, tasks=(), g_options=none.g_options)
    labels["make_discriminator"] = none.make_discriminator
    assert dataclasses.replace(every, **labels) == dataclasses.replace(few, **labels) == none


def test_every_file_begins_with_a_header():
    for path in FOLDER.glob("*.gin"):
        header = path.read_text().split("\n\n")[0]
        assert all(line.startswith("#") for line in header.splitlines()), path
        if path.stem in WHOLE:
            for word in ("Paper: ", "Hardware: ", "Command: "):
                assert f"# {word}" in header, path


def test_an_unknown_recipe():
    with pytest.raises(UserError, match="unknown recipe 'small_s3gn'; did you mean 'small_s3gan'"):
        recipe("small_s3gn")

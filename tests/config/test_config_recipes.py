"""The packaged methods build, and differ in their labels only; packaged files are found by name."""

import dataclasses
import functools

import pytest
from flax import nnx

from compare_gan.architectures import resnet_small
from compare_gan.config.parse import parse
from compare_gan.config.recipes import FOLDER, config_file, header, recipe
from compare_gan.core.errors import UserError
from compare_gan.core.label_methods import LABEL_METHODS, PARTS
from compare_gan.core.types import ImageSpec
from compare_gan.nn.norms import batch_norm, conditional_batch_norm
from compare_gan.tasks.projection import Projection
from compare_gan.tasks.rotation import Rotation

DIGITS = ImageSpec((8, 8, 1), 10)
RECIPES = sorted({method.recipe for method in LABEL_METHODS.values()})


def build(name: str):
    return parse([recipe("small"), recipe(name)]).gan(DIGITS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_networks(name):
    parsed = parse([recipe("small"), recipe(name)])
    gan = parsed.gan(DIGITS)
    assert parsed.dataset.name == "digits"
    assert parsed.eval_prior == gan.prior
    assert gan.abstract_d.backbone.feature_dim > 0
    nnx.eval_shape(lambda: gan.generator(nnx.Rngs(0)))


# What each recipe adds to the discriminator: (rotation?, projection?, predictor?, soft?).
TASKS = {
    "no_labels": (False, False, False, False),
    "ssgan": (True, False, False, False),
    "conditional": (False, True, False, False),
    "s3gan": (True, True, False, False),
    "s2gan_co": (False, True, True, False),
    "s2gan_co_soft": (False, True, True, True),
    "s3gan_co": (True, True, True, False),
    "s3gan_co_soft": (True, True, True, True),
}


def test_every_recipe_has_expected_tasks():
    assert set(TASKS) == set(RECIPES) == {path.stem for path in (FOLDER / "methods").glob("*.gin")}


@pytest.mark.parametrize("name", RECIPES)
def test_tasks_are_those_of_the_paper(name):
    rotation, projection, predictor, soft = TASKS[name]
    expected = [Rotation(num_images=4, d_weight=1.0, g_weight=0.2)] if rotation else []
    expected += [Projection(True, predictor, soft, class_weight=1.0)] if projection else []
    assert list(build(name).tasks) == expected


@pytest.mark.parametrize("name", RECIPES)
def test_other_settings_are_shared(name):
    gan, none = build(name), build("no_labels")
    assert gan.conditional == (name not in ("no_labels", "ssgan"))
    norm = functools.partial(conditional_batch_norm, gamma_offset=1.0) if gan.conditional else batch_norm
    assert gan.g_options.batch_norm_fn == norm
    assert gan.make_discriminator is resnet_small.Discriminator
    assert dataclasses.replace(gan, conditional=False, tasks=(), g_options=none.g_options) == none


def test_every_method_has_a_header():
    for path in (FOLDER / "methods").glob("*.gin"):
        assert header(path).keys() >= {"title", "Paper", "Hardware", "Command"}, path


def test_every_part_has_a_file_and_a_header():
    assert set(PARTS) == {path.stem for path in (FOLDER / "parts").glob("*.gin")}
    for name in PARTS:
        assert header(recipe(name)).keys() >= {"title", "Paper", "Command"}, name


def test_a_method_can_use_other_networks():
    networks = ["options.architecture = 'dcgan_arch'", "options.batch_size = 16"]
    gan = parse([recipe("small"), recipe("s3gan_co")], networks).gan(ImageSpec((32, 32, 3), 7))
    assert gan.abstract_d.heads["class"].predictor is not None
    assert gan.tasks[0].num_images == 2


@pytest.mark.parametrize(
    "name, file",
    [
        ("small.gin", "small.gin"),
        ("small", "small.gin"),
        ("s3gan.gin", "methods/s3gan.gin"),
        ("methods/s3gan.gin", "methods/s3gan.gin"),
        ("methods/s3gan", "methods/s3gan.gin"),
        # The names of compare_gan's example configurations.
        ("biggan_imagenet128.gin", "biggan_imagenet128.gin"),
        ("dcgan_celeba64.gin", "dcgan_celeba64.gin"),
        ("resnet_cifar10.gin", "resnet_cifar10.gin"),
        ("resnet_lsun-bedroom128.gin", "resnet_lsun_bedroom128.gin"),
        ("sndcgan_celebahq128.gin", "sndcgan_celebahq128.gin"),
    ],
)
def test_packaged_files_are_found_by_name(name, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file(name) == FOLDER / file
    (tmp_path / name).mkdir(parents=True)  # a folder of that name is not a configuration
    assert config_file(name) == FOLDER / file


def test_a_file_in_the_working_directory_takes_precedence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.gin").write_text("")
    assert config_file("small.gin").resolve() == tmp_path / "small.gin"


def test_an_unknown_name_names_the_closest_one():
    expected = "smal.gin: no such file, and not one of .* `compare-gan configs` lists; did you mean 'small'"
    with pytest.raises(UserError, match=expected):
        config_file("smal.gin")
    with pytest.raises(UserError, match=expected):
        parse(["smal.gin"])


def test_packaged_files_are_parsed_and_included_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = parse([FOLDER / "small.gin", FOLDER / "methods" / "s3gan.gin"])
    (tmp_path / "mine.gin").write_text('include "small.gin"\ninclude "methods/s3gan.gin"\n')
    for files in (["small.gin", "s3gan.gin"], ["mine.gin"]):
        assert parse(files).operative_config == expected.operative_config


def test_an_unknown_recipe():
    with pytest.raises(UserError, match="unknown recipe 's3gn'; did you mean 's3gan'"):
        recipe("s3gn")

"""Every error in a configuration is one line with its location, its cause and a fix."""

import gin
import pytest

from compare_gan.config.parse import parse, parse_all
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec

GOOD = {
    "dataset.name": "'cifar10'",
    "options.gan_class": "@ModularGAN",
    "options.architecture": "'resnet_cifar_arch'",
    "options.batch_size": "64",
    "options.training_steps": "10",
}


def text(without: str = "") -> str:
    return "".join(f"{name} = {value}\n" for name, value in GOOD.items() if name != without)


def message(call, *arguments) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert len(str(error.value).splitlines()) == 1
    assert gin.config_str() == "" and not gin.config_is_locked()
    return str(error.value)


# Line 7 of a file -> the error message after "<file>:7: ".
IN_A_FILE = {
    "optoins.batch_size = 3": "nothing is named 'optoins'; did you mean 'options'?",
    "options.btch_size = 3": "options has no parameter 'btch_size' to bind; did you mean 'batch_size'?",
    "loss.fn = @hing": "nothing is named 'hing'; did you mean 'hinge'?",
    "ModularGAN.tasks = (@Rotaton(),)": "nothing is named 'Rotaton'; did you mean 'Rotation'?",
    "resnet_cifr.Generator.ch = 3": "nothing is named 'resnet_cifr.Generator'; "
    "did you mean 'resnet_cifar.Generator'?",
    "options.batch_size = 'x'": "options.batch_size is 'x'; it must be an integer",
    "options.batch_size = 1e2": "options.batch_size is 100.0; it must be an integer",
    "options.lamba = True": "options.lamba is True; it must be a number",
    "options.architecture = 3": "options.architecture is 3; it must be a string in quotes",
    "resnet_cifar.Generator.embed_y = 'yes'": "resnet_cifar.Generator.embed_y is 'yes'; "
    "it must be True or False",
    "loss.fn = 'hinge'": "loss.fn is 'hinge'; it must be a reference, such as @name",
    "loss.fn = hinge": "hinge is not a value; put strings in quotes, and an @ before names",
    "G.batch_norm_fn = 3": "G.batch_norm_fn is 3; it must be a reference, such as @name or None",
    "options.batch_size =": "Unable to parse value",
    "options.batch_size 3": "Couldn't parse statement, expected ':' or '='",
    "hinge.margin = 3": "hinge has no parameter 'margin' to bind",
    "ModularGAN.batch_size = 3": "ModularGAN has no parameter 'batch_size' to bind; bind options.batch_size",
    "S3GAN.batch_size = 3": "S3GAN has no parameter 'batch_size' to bind; bind options.batch_size",
    "S3GAN.g_rl = 1e-4": "S3GAN has no parameter 'g_rl' to bind; did you mean 'g_lr'?",
    "SSGAN.g_lr = 'fast'": "SSGAN.g_lr is 'fast'; it must be a number",
    "tf.train.AdamOptimizer.learning_rate = 1": "tf.train.AdamOptimizer has no parameter 'learning_rate' to "
    "bind; bind ModularGAN.g_lr or ModularGAN.d_lr",
    "batch_norm.layers = 3": "batch_norm has no parameter 'layers' to bind",
    "include 'bad.gin'": "bad.gin includes itself",
    "import no_such_module": "No module named 'no_such_module'",
    "ModularGAN.g_lr = @tf.train.exponential_decay()": "ModularGAN.g_lr is a number; bind a schedule of both "
    "learning rates as `ModularGAN.lr_schedule = @tf.train.exponential_decay`",
    "polynomial_decay.end_learning_rate = 1e-5": "polynomial_decay has no parameter 'end_learning_rate' to "
    "bind; bind polynomial_decay.end, a fraction of the learning rate",
    "exponential_decay.decay_step = 3": "exponential_decay has no parameter 'decay_step' to bind; "
    "did you mean 'decay_steps'?",
    "ModularGAN.g_optimizer_fn = @optax.nadam": "optax.nadam: use optax.adam and bind "
    "optax.adam.nesterov = True",
    "tf.random.categorical.num_samples = 3": "tf.random.categorical has no parameter 'num_samples' "
    "to bind; bind options.z_dim",
    "ModularGAN.g_optimizer_fn = @optax.adamv": "nothing is named 'optax.adamv'; did you mean 'optax.adam'?",
    "optax.adamw.learning_rate = 1": "optax.adamw has no parameter 'learning_rate' to bind; "
    "bind ModularGAN.g_lr or ModularGAN.d_lr",
    "optax.adamw.weight_decay = 'much'": "adamw.weight_decay is 'much'; "
    "it must be a number or a reference, such as @name",
}


@pytest.mark.parametrize("line", IN_A_FILE)
def test_a_bad_line_of_a_file(line, tmp_path):
    path = tmp_path / "bad.gin"
    path.write_text(f"# a comment\n{text()}{line}\nD.spectral_norm = True\n")
    assert message(parse, [path]) == f"{path}:7: {IN_A_FILE[line]}"


def test_a_missing_include(tmp_path):
    (tmp_path / "bad.gin").write_text("include 's3gam.gin'\n")
    error = message(parse, [tmp_path / "bad.gin"])
    assert error.startswith(f"{tmp_path / 'bad.gin'}:1: s3gam.gin: no such file")
    assert "`compare-gan configs` lists; did you mean 's3gan'?" in error


def test_an_ambiguous_name(tmp_path):
    (tmp_path / "bad.gin").write_text("Generator.ch = 3\n")
    error = message(parse, [tmp_path / "bad.gin"])
    assert "bad.gin:1: 'Generator' is ambiguous; " in error and ", resnet_cifar.Generator, " in error


def test_the_innermost_file_is_named(tmp_path):
    (tmp_path / "outer.gin").write_text(f"{text()}\ninclude 'inner.gin'\n")
    (tmp_path / "inner.gin").write_text("\n\nloss.fn = @hing\n")
    error = message(parse, [tmp_path / "outer.gin"])
    assert error == f"{tmp_path / 'inner.gin'}:3: nothing is named 'hing'; did you mean 'hinge'?"


def test_a_block_names_its_line(tmp_path):
    path = tmp_path / "bad.gin"
    path.write_text("options:\n  batch_size = 64\n  z_dm = 3\n")
    error = message(parse, [path])
    assert error == f"{path}:3: options has no parameter 'z_dm' to bind; did you mean 'z_dim'?"


def test_an_open_bracket(tmp_path):
    (tmp_path / "bad.gin").write_text(f"{text()}ModularGAN.tasks = (\n")
    assert f"{tmp_path / 'bad.gin'}:" in message(parse, [tmp_path / "bad.gin"])


def test_a_bad_binding_is_quoted():
    error = message(parse, [], [text(), "optoins.batch_size = 3"])
    assert error == "binding 'optoins.batch_size = 3': nothing is named 'optoins'; did you mean 'options'?"


def test_files_that_cannot_be_read(tmp_path):
    assert message(parse, [tmp_path / "no.gin"]).startswith(f"{tmp_path / 'no.gin'}: no such file")
    assert message(parse, [tmp_path]).startswith(f"{tmp_path}: is a folder")
    (tmp_path / "picture.gin").write_bytes(b"\x89PNG\xff")
    assert (
        message(parse, [tmp_path / "picture.gin"]) == f"{tmp_path / 'picture.gin'}: not a text file in UTF-8"
    )


@pytest.mark.parametrize("name", [name for name in GOOD if name != "dataset.name"])
def test_required_parameters(name):
    error = message(parse, [], [text(without=name)])
    assert error == f"{name} is not set; add `{name} = ...` to the configuration"


# Bindings that are invalid together -> the error message.
COMBINATIONS = {
    "options.gan_class = @SSGAN": "SSGAN.rotated_batch_size is not set; "
    "add `SSGAN.rotated_batch_size = ...` to the configuration",
    "ModularGAN.tasks = (@Rotation(),)": "Rotation.num_images is not set; "
    "add `Rotation.num_images = ...` to the configuration",
    "ModularGAN.tasks = @Rotation()\nRotation.num_images = 4": "ModularGAN.tasks is "
    "Rotation(num_images=4, d_weight=1.0, g_weight=0.2, name='rotation'); "
    "it must be a tuple, such as (@Name(),)",
    "options.gan_class = @hinge": "options.gan_class is hinge, which is not a registered GAN method; "
    "known: @ModularGAN, @S3GAN, @SSGAN",
    "penalty.fn = @hinge": "penalty.fn is hinge, which is not a registered penalty; "
    "known: @dragan_penalty, @l2_penalty, @maxgp_penalty, @no_penalty, @orthogonal_penalty, @r1_penalty, "
    "@r1_r2_penalty, @r2_penalty, @wgangp_penalty",
    "options.batch_size = @hinge": "options.batch_size is @hinge; it must be an integer",
    "options.gan_class = @SSGAN\nSSGAN.rotated_batch_size = 4\nrate = 'x'\nSSGAN.g_lr = %rate": "SSGAN.g_lr "
    "is 'x'; it must be a number",
    "size = 'x'\noptions.batch_size = %size": "options.batch_size is 'x'; it must be an integer",
    "options.batch_size = %size": "configuration: %size is used but never set",
    "options.architecture = 'resnet_cifr_arch'": "unknown architecture 'resnet_cifr_arch'; "
    "did you mean 'resnet_cifar_arch'?",
    "weights.initializer = 'ortho'": "weights.initializer is 'ortho'; use normal, truncated or orthogonal",
    "ModularGAN.lr_schedule = @hinge": "ModularGAN.lr_schedule is hinge, which is not a registered "
    "schedule; known: @cosine_annealing, @cosine_decay, @cosine_decay_restarts, @cosine_decay_schedule, "
    "@cosine_onecycle_schedule, @exponential_decay, @inverse_time_decay, @linear_cosine_decay, "
    "@linear_onecycle_schedule, @linear_schedule, @natural_exp_decay, @noisy_linear_cosine_decay, "
    "@piecewise_constant, @polynomial_decay, @polynomial_schedule, @warmup_constant_schedule, "
    "@warmup_cosine_decay_schedule, @warmup_exponential_decay_schedule",
    "ModularGAN.lr_schedule = @cosine_decay": "cosine_decay.decay_steps is not set; "
    "add `cosine_decay.decay_steps = ...` to the configuration",
    "ModularGAN.g_optimizer_fn = @tf.train.MomentumOptimizer": "MomentumOptimizer.momentum is not set; "
    "add `MomentumOptimizer.momentum = ...` to the configuration",
    "train_imagenet_transform.crop_method = 'zoom'": "train_imagenet_transform.crop_method is 'zoom', use "
    "one of distorted, random, middle, zoomed, none",
}


@pytest.mark.parametrize("lines", COMBINATIONS)
def test_incompatible_parts(lines):
    assert message(parse, [], [text(), lines]) == COMBINATIONS[lines]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("ModularGAN.conditional = True", "ModularGAN.conditional is True, but the data set has no labels"),
        ("options.batch_size = 0", "options.batch_size is 0; it must be at least 1"),
        (
            "options.gan_class = @SSGAN\nSSGAN.rotated_batch_size = 3",
            "SSGAN.rotated_batch_size is 3; it must be a multiple of 4, at most 256",
        ),
    ],
)
def test_a_gan_that_is_incompatible_with_the_images(lines, expected):
    assert message(parse([], [text(), lines]).gan, ImageSpec((32, 32, 3))) == expected


@pytest.mark.parametrize(
    "lines",
    [
        "options.gan_class = @SSGAN\nSSGAN.rotated_batch_size = 4",
        "options.gan_class = @S3GAN\nModularGAN.conditional = True\nS3GAN.rotated_batch_fraction = 2",
    ],
)
def test_images_that_cannot_be_rotated(lines):
    error = message(parse([], [text(), lines]).gan, ImageSpec((16, 24, 3), 2))
    assert error.startswith("images of 16x24 cannot be rotated by 90 degrees") and "--image_size" in error


def test_all_errors_are_reported_together(tmp_path):
    path = tmp_path / "bad.gin"
    path.write_text(f"optoins.batch_size = 3\n{text()}options.z_dm = 64\noptions.z_dim = 32\n")
    result = parse_all([path, tmp_path / "no.gin"], ["loss.fn = @hing"])
    assert [str(mistake).rpartition(":")[0] for mistake in result.mistakes[:2]] == [f"{path}:1", f"{path}:7"]
    assert "no.gin: no such file" in str(result.mistakes[2]) and "'hinge'" in str(result.mistakes[3])
    assert len(result.mistakes) == 4
    assert result.parsed is not None and result.parsed.options.z_dim == 32


def test_parsing_works_again_after_an_error():
    message(parse, [], [text(), "options.z_dim = 'x'"])
    assert parse([], [text()]).options.z_dim == 128

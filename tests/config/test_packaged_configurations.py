"""The packaged configurations of networks and training: headers, settings, networks, and a step of each."""

import functools
import re

import jax
import numpy as np
import pytest

from compare_gan.config.costs import flops, num_elements
from compare_gan.config.explain import explain, image_spec
from compare_gan.config.parse import Parsed, parse
from compare_gan.config.recipes import NO_SCORE, config_file, configurations
from compare_gan.core.types import Batch, ImageSpec
from compare_gan.gans.step import train_step
from compare_gan.main import parser
from tests.helpers.tiers import slow_unless
from tests.parity.kinds.gin import line, parameters
from tests.parity.reference import load

FOUND = configurations()
COMPLETE = [name for name, each in FOUND.items() if each.combine_with is None]
HALVES = [name for name in FOUND if name not in COMPLETE]


def files(name: str, method: str = "no_labels") -> list[str]:
    """The arguments of `parse` for a configuration; one that does not choose labels is given a method."""
    return [name] if name in COMPLETE else [name, method]


def test_networks_and_training_without_a_method_are_the_small_ones():
    assert HALVES == ["small", "small128", "small32", "small64"]


@pytest.mark.parametrize("name", FOUND)
def test_the_header_is_complete(name):
    each = FOUND[name]
    assert re.match(r".+\.$", each.title) and "https://arxiv.org/abs/" in each.paper and each.settings
    assert (each.score_from is None) == (each.score == NO_SCORE)
    assert each.score == NO_SCORE or re.fullmatch(r"FID \d+\.\d+(, IS \d+(\.\d+)?)?", each.score)
    assert re.fullmatch(r"[\d,.]+ [MG]B", each.memory)
    assert re.fullmatch(r"[\d,.]+ (minutes|hours|days) \([\d.]+ [TPE]FLOP .+\)", each.time)
    side = each.images.partition("x")[0]
    assert each.images == ("8x8 to 64x64" if name == "small" else f"{side}x{side}")


@pytest.mark.parametrize("name", FOUND)
def test_the_command_is_valid(name):
    words = FOUND[name].command.split()
    assert words[:4] == ["compare-gan", "train", "--gin_config", f"{name}.gin"]
    arguments = parser().parse_args(words[1:])
    given = [config_file(file).stem for file in arguments.gin_config]
    assert given == files(name, "s3gan") and arguments.model_dir.startswith("runs/")


@pytest.mark.parametrize("name", [name for name in FOUND if name != "small"])
def test_the_header_has_the_size_of_the_images_and_further_needs(name):
    parsed, needs = parse(files(name)), FOUND[name].needs or ""
    assert image_spec(parsed.dataset.name, None, None).image_shape[:2] == (FOUND[name].side,) * 2
    number, unit = FOUND[name].memory.replace(",", "").split()
    assert ("several devices" in needs) == (unit == "GB" and float(number) > 100)
    assert ("a label for every image" in needs) == name.startswith("s3gan")


def operative(parsed: Parsed) -> dict:
    return parameters(parsed.operative_config)


# Recorded from compare_gan -> bindings of its file that have no effect, which ours leaves out.
RECORDED = {
    "resnet_cifar10": set(),
    "dcgan_celeba64": set(),
    "biggan_imagenet128": {
        "compare_gan.gans.modular_gan.ModularGAN.d_optimizer_fn",  # that of the generator by default
        "compare_gan.architectures.arch_ops.standardize_batch.decay",  # there are no moving averages
        "compare_gan.main.run_config.iterations_per_loop",  # for TPUs
    },
}


@pytest.mark.parametrize("name", RECORDED)
def test_settings_are_those_of_the_example_of_compare_gan(name):
    meta = load(f"gin_{name}").meta
    theirs = operative(parse([], [line(**binding) for binding in meta["bindings"]]))
    ours = operative(parse([name]))
    assert {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)} == RECORDED[name]


# The other two examples of compare_gan, from the table of their settings.
EXAMPLES = {
    "sndcgan_celebahq128": (1, 64, 100000, 2e-4, 1.0, True),
    "resnet_lsun_bedroom128": (5, 64, 40000, 1e-4, 10, False),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_settings_are_those_of_the_other_examples(name):
    parsed = parse([name])
    gan = parsed.gan(ImageSpec((128, 128, 3)))
    steps = parsed.options.training_steps
    found = gan.disc_iters, gan.batch_size, steps, gan.g_lr, gan.penalty_weight, gan.d_options.spectral_norm
    assert found == EXAMPLES[name]
    assert gan.penalty.__name__ == ("wgangp_penalty" if gan.penalty_weight == 10 else "no_penalty")


# Trained parameters of generator and discriminator; compare_gan's tests assert them.
PARAMETERS = {
    "biggan_imagenet128": (70_433_988, 87_982_370),
    "biggan_imagenet256": (82_097_604, 98_635_298),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_published_number_of_parameters(name):
    parsed = parse([name])
    state = jax.eval_shape(parsed.gan(image_spec(parsed.dataset.name, None, None)).init, jax.random.key(0))
    assert (num_elements(state.g.params), num_elements(state.d.params)) == PARAMETERS[name]


CASES_OF_EXPLAIN = [(name, "no_labels") for name in COMPLETE]
CASES_OF_EXPLAIN += [(name, method) for name in HALVES for method in ("no_labels", "s3gan", "ssgan")]
EXPLAINED = ("sngan_cifar10", "s3gan_stl10")


@pytest.mark.parametrize(
    "name, method",
    slow_unless(lambda name, method: name in EXPLAINED, CASES_OF_EXPLAIN),
)
def test_a_configuration_is_explained_without_error_or_warning(name, method, monkeypatch):
    monkeypatch.setattr("compare_gan.config.explain.costs", lambda *_: None)
    explanation = explain(files(name, method))
    assert not explanation.errors and not explanation.warnings


SHRUNKEN = [
    "options.batch_size = 4",  # attention at 256x256 takes a gigabyte per image
    "options.disc_iters = 1",
    *(
        f"{net}.{player}.ch = 2"
        for net in ("resnet5", "resnet_stl")
        for player in ("Generator", "Discriminator")
    ),
    *(
        f"{net}.{player}.ch = 4"
        for net in (
            "dcgan",
            "sndcgan",
            "resnet_small",
            "resnet_cifar",
            "resnet_biggan",
            "resnet_biggan_deep",
            "r3gan",
        )
        for player in ("Generator", "Discriminator")
    ),
    "resnet_biggan.Generator.embed_y_dim = 4",
    "r3gan.Generator.embed_y_dim = 4",
    "resnet_biggan_deep.Generator.embed_y_dim = 4",
    "SSGAN.rotated_batch_size = 4",
    "S3GAN.rotated_batch_fraction = 1",
    "weights.initializer = 'normal'",  # orthogonal kernels take long to compile
]


@pytest.mark.parametrize("name", slow_unless(lambda name: name == "dcgan_celeba64", FOUND))
def test_a_shrunken_step_trains_both_networks(name):
    full = parse(files(name, "s3gan"))
    z_dim = {120: 12, 140: 14}.get(full.options.z_dim, 8)  # hierarchical latents divide into blocks
    spec = image_spec(full.dataset.name, None, None)
    shape = (32, 32, 3) if "biggan_deep" in name else spec.image_shape  # larger ones compile for minutes
    spec = ImageSpec(shape, min(spec.num_classes, 3))
    gan = parse(files(name, "s3gan"), [*SHRUNKEN, f"options.z_dim = {z_dim}"]).gan(spec)
    leading = (gan.sub_batches, gan.batch_size)
    images = np.random.default_rng(0).integers(0, 256, (*leading, *spec.image_shape), np.uint8)
    data = Batch(images, np.zeros(leading, np.int32))
    state = jax.jit(gan.init)(jax.random.key(0))
    step, new = jax.jit(functools.partial(train_step, gan)), state
    for seed in range(2):  # layers that begin at zero let no gradient through in the first step
        new, metrics = step(new, data, jax.random.key(seed))
    assert int(new.step) == 2 and all(np.isfinite(value) for value in metrics.values())
    for before, after in ((state.g.params, new.g.params), (state.d.params, new.d.params)):
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
        assert np.mean(jax.tree.leaves(moved)) > 0.5
        assert all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(after))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "dcgan_celeba64", "sngan_cifar10"])
def test_the_header_has_the_operations_that_explain_counts(name):
    parsed = parse(files(name))
    total = flops(parsed.gan(image_spec(parsed.dataset.name, None, None))) * parsed.options.training_steps
    number, prefix = re.search(r"\(([\d.]+) ([TPE])FLOP", FOUND[name].time).groups()
    assert float(number) * {"T": 1e12, "P": 1e15, "E": 1e18}[prefix] == pytest.approx(total, rel=0.02)

"""A GAN from a configuration is the GAN that Python builds."""

import functools
import sys

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from compare_gan.architectures import dcgan, resnet_cifar, resnet_small
from compare_gan.config.gin_factories import configured, register_all
from compare_gan.config.parse import DatasetChoice, RunConfig, parse
from compare_gan.core.partials import bound
from compare_gan.core.registry import EXPOSED, LOSSES
from compare_gan.core.types import ImageSpec
from compare_gan.gans.gan import GAN
from compare_gan.gans.optimizers import adam
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.sampling import normal, uniform
from compare_gan.gans.ssgan import ssgan
from compare_gan.losses.standard import hinge
from compare_gan.nn.norms import batch_norm, conditional_batch_norm
from compare_gan.nn.options import (
    DiscriminatorOptions,
    GeneratorOptions,
    Layers,
    SpectralNorm,
    StandardizeBatch,
    Weights,
)
from compare_gan.penalties.gradient import wgangp_penalty
from compare_gan.tasks.rotation import Rotation

CIFAR, CELEB = ImageSpec((32, 32, 3), 10), ImageSpec((64, 64, 3))

# The bindings of compare_gan's example_configs, resnet_cifar10 and dcgan_celeba64.
RESNET_CIFAR10 = """
dataset.name = "cifar10"
options.architecture = "resnet_cifar_arch"
options.batch_size = 64
options.gan_class = @ModularGAN
options.lamba = 1
options.training_steps = 40000
options.z_dim = 128
G.batch_norm_fn = @batch_norm
standardize_batch.decay = 0.9
standardize_batch.epsilon = 1e-5
standardize_batch.use_moving_averages = True
options.disc_iters = 5
D.spectral_norm = True
loss.fn = @non_saturating
penalty.fn = @no_penalty
ModularGAN.g_lr = 0.0002
ModularGAN.g_optimizer_fn = @tf.train.AdamOptimizer
tf.train.AdamOptimizer.beta1 = 0.5
tf.train.AdamOptimizer.beta2 = 0.999
"""
DCGAN_CELEBA64 = """
dataset.name = "celeb_a"
options.architecture = "dcgan_arch"
options.batch_size = 64
options.gan_class = @ModularGAN
options.lamba = 1
options.training_steps = 100000
options.z_dim = 128
G.batch_norm_fn = @batch_norm
standardize_batch.decay = 0.9
standardize_batch.epsilon = 1e-5
options.disc_iters = 1
D.spectral_norm = False
loss.fn = @non_saturating
penalty.fn = @no_penalty
ModularGAN.g_lr = 0.0002
ModularGAN.g_optimizer_fn = @tf.train.AdamOptimizer
tf.train.AdamOptimizer.beta1 = 0.5
tf.train.AdamOptimizer.beta2 = 0.999
"""
AS_IN_EXAMPLES = Layers(batch=StandardizeBatch(decay=0.9, epsilon=1e-5))


def test_resnet_cifar10_of_compare_gan():
    parsed = parse([], [RESNET_CIFAR10])
    assert parsed.dataset == DatasetChoice("cifar10")
    assert parsed.options.training_steps == 40000
    assert parsed.run_config == RunConfig()
    assert parsed.gan(CIFAR) == GAN(
        spec=CIFAR,
        make_generator=resnet_cifar.Generator,
        make_discriminator=resnet_cifar.Discriminator,
        disc_iters=5,
        layers=AS_IN_EXAMPLES,
        g_options=GeneratorOptions(batch_norm),
        d_options=DiscriminatorOptions(spectral_norm=True),
        g_optimizer_fn=functools.partial(adam, beta1=0.5),
    )


def test_dcgan_celeba64_of_compare_gan():
    parsed = parse([], [DCGAN_CELEBA64])
    assert (parsed.dataset.name, parsed.options.training_steps) == ("celeb_a", 100000)
    assert parsed.gan(CELEB) == GAN(
        spec=CELEB,
        make_generator=dcgan.Generator,
        make_discriminator=dcgan.Discriminator,
        layers=AS_IN_EXAMPLES,
        g_options=GeneratorOptions(batch_norm),
        g_optimizer_fn=functools.partial(adam, beta1=0.5),
    )


S3GAN = [
    RESNET_CIFAR10,
    "options.gan_class = @S3GAN",
    "ModularGAN.conditional = True",
    "ModularGAN.g_use_ema = True",
    "S3GAN.rotated_batch_fraction = 2",
    "S3GAN.project_y = True",
    "S3GAN.use_predictor = True",
    "G.batch_norm_fn = @conditional_batch_norm",
    "conditional_batch_norm.use_bias = True",
    "weights.initializer = 'orthogonal'",
    "spectral_norm.singular_value = 'auto'",
    "resnet_cifar.Generator.hierarchical_z = True",
    "compare_gan.architectures.resnet_cifar.Discriminator.ch = 64",
    "loss.fn = @hinge",
    "penalty.fn = @wgangp_penalty",
    "options.lamba = 10",
    "z.distribution_fn = @tf.random.normal",
    "z.stddev = 2",
]


def test_s3gan_and_every_kind_of_part():
    base = GAN(
        spec=CIFAR,
        make_generator=functools.partial(resnet_cifar.Generator, hierarchical_z=True),
        make_discriminator=functools.partial(resnet_cifar.Discriminator, ch=64),
        loss=hinge,
        penalty=wgangp_penalty,
        penalty_weight=10,
        disc_iters=5,
        prior=functools.partial(normal, stddev=2),
        layers=Layers(Weights("orthogonal"), AS_IN_EXAMPLES.batch, SpectralNorm(singular_value="auto")),
        g_options=GeneratorOptions(functools.partial(conditional_batch_norm, use_bias=True)),
        d_options=DiscriminatorOptions(spectral_norm=True),
        conditional=True,
        g_use_ema=True,
        g_optimizer_fn=functools.partial(adam, beta1=0.5),
    )
    gan = parse([], S3GAN).gan(CIFAR)
    assert gan == s3gan(base, rotated_batch_fraction=2, project_y=True, use_predictor=True)
    assert hash(gan) == hash(parse([], S3GAN).gan(CIFAR))


def test_keywords_of_an_architecture_reach_the_network():
    gan = parse([], S3GAN).gan(CIFAR)
    generator = nnx.eval_shape(lambda: gan.generator(nnx.Rngs(0)))
    assert generator.hierarchical_z
    assert gan.abstract_d.backbone.feature_dim == 64


def test_ssgan():
    lines = ["options.gan_class = @SSGAN", "SSGAN.rotated_batch_size = 16"]
    base = parse([], [RESNET_CIFAR10]).gan(CIFAR)
    assert parse([], [RESNET_CIFAR10, *lines]).gan(CIFAR) == ssgan(base, rotated_batch_size=16)


def test_a_task_needs_no_method():
    lines = ["ModularGAN.tasks = (@Rotation(),)", "Rotation.num_images = 4"]
    assert parse([], [RESNET_CIFAR10, *lines]).gan(CIFAR).tasks == (Rotation(4),)


def test_an_optimiser_of_optax_and_a_schedule():
    lines = [
        "ModularGAN.d_optimizer_fn = @optax.adamw",
        "optax.adamw.weight_decay = 1e-2",
        "optax.adamw.b1 = 0",
        "ModularGAN.lr_schedule = @piecewise_constant",
        "piecewise_constant.boundaries = (10, 20)",
        "piecewise_constant.factors = [1.0, 0.5, 0.25]",
    ]
    gan = parse([], [RESNET_CIFAR10, *lines]).gan(ImageSpec((32, 32, 3), 10))
    assert gan.d_optimizer_fn == functools.partial(optax.adamw, weight_decay=1e-2, b1=0)
    assert [float(gan.lr_factor(step)) for step in (0, 10, 11, 25)] == [1, 1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "ModularGAN.lr_schedule = @tf.train.exponential_decay\n"
            "tf.train.exponential_decay.decay_steps = 10\nexponential_decay.decay_rate = 0.25",
            [1, 0.5, 0.25],
        ),
        (
            "ModularGAN.lr_schedule = @optax.linear_schedule\n"
            "linear_schedule.transition_steps = 10\noptax.linear_schedule.end_value = 0.5",
            [1, 0.75, 0.5],
        ),
        ("ModularGAN.lr_schedule = @cosine_decay\ncosine_decay.steps = 10", [1, 0.5, 0]),  # a former name
    ],
)
def test_schedules_by_the_names_of_tensorflow_and_of_optax(lines, expected):
    parsed = parse([], [RESNET_CIFAR10, lines])
    factors = [float(parsed.gan(CIFAR).lr_factor(step)) for step in (0, 5, 10)]
    np.testing.assert_allclose(factors, expected, atol=1e-7)
    assert parse([], [parsed.operative_config]) == parsed and hash(parsed.gan(CIFAR)) is not None


@pytest.mark.parametrize(
    ("name", "lines", "mean"),
    [
        ("gamma", ["tf.random.gamma.alpha = 3.0", "tf.random.gamma.beta = 2.0"], 1.5),
        ("poisson", ["tf.random.poisson.lam = 4"], 4),
        ("categorical", ["tf.random.categorical.logits = [0.0, 0.0, 0.0]"], 1),
    ],
)
def test_priors_by_the_names_of_tensorflow(name, lines, mean):
    prior = f"z.distribution_fn = @tf.random.{name}\neval_z.distribution_fn = @tf.random.{name}"
    parsed = parse([], [RESNET_CIFAR10, prior, *lines])
    gan = parsed.gan(CIFAR)
    z = gan.prior(jax.random.key(0), (50, gan.z_dim))
    assert float(z.mean()) == pytest.approx(mean, abs=0.1)
    assert parsed.eval_prior == gan.prior and parse([], [parsed.operative_config]) == parsed


def test_the_default_optimiser_is_configured_too():
    without = RESNET_CIFAR10.replace("ModularGAN.g_optimizer_fn", "# ")
    assert parse([], [without]).gan(CIFAR) == parse([], [RESNET_CIFAR10]).gan(CIFAR)


def test_scopes_distinguish_two_uses():
    lines = ["ModularGAN.d_optimizer_fn = @d/tf.train.AdamOptimizer", "d/tf.train.AdamOptimizer.beta1 = 0.0"]
    gan = parse([], [RESNET_CIFAR10, *lines]).gan(CIFAR)
    assert gan.g_optimizer_fn == functools.partial(adam, beta1=0.5)
    assert gan.d_optimizer_fn == functools.partial(adam, beta1=0.0)


@pytest.mark.parametrize(
    ("lines", "prior"),
    [
        ([], uniform),
        (["z.minval = 0.0", "z.stddev = 3.0"], functools.partial(uniform, minval=0.0)),
        (["z.distribution_fn = @tf.random.normal", "z.minval = 0.0"], normal),
    ],
)
def test_a_prior_gets_the_parameters_it_has(lines, prior):
    assert parse([], [RESNET_CIFAR10, *lines]).gan(CIFAR).prior == prior


def test_the_evaluation_prior_is_independent():
    lines = ["eval_z.distribution_fn = @tf.random.normal", "eval_z.stddev = 0.5"]
    parsed = parse([], [RESNET_CIFAR10, *lines])
    assert parsed.gan(CIFAR).prior == uniform
    assert parsed.eval_prior == functools.partial(normal, stddev=0.5)


@pytest.mark.parametrize("bindings", [[RESNET_CIFAR10], S3GAN])
def test_the_operative_configuration_builds_the_same_gan(bindings, tmp_path):
    first = parse([], bindings)
    (tmp_path / "operative_config.gin").write_text(first.operative_config)
    second = parse([tmp_path / "operative_config.gin"])
    assert second == first
    assert second.gan(CIFAR) == first.gan(CIFAR)


def test_the_operative_configuration_has_bindings_and_defaults():
    text = parse([], S3GAN).operative_config
    for line in (
        "resnet_cifar.Generator.hierarchical_z = True",
        "resnet_cifar.Generator.embed_y = False",
        "S3GAN.weight_rotation_loss_g = 0.2",
        "AdamOptimizer.epsilon = 1e-08",
        "conditional_batch_norm.use_bias = True",
        "ModularGAN.ema_decay = 0.9999",
        "run_config.keep_checkpoint_max = 1000",
    ):
        assert f"\n{line}\n" in text
    assert "ModularGAN.batch_size" not in text


def test_an_operative_configuration_of_compare_gan_is_read(caplog):
    recorded = """
        AdamOptimizer.use_locking = False
        ModularGAN.deprecated_split_disc_calls = False
        ModularGAN.experimental_joint_gen_for_disc = False
        options.discriminator_normalization = None
        standardize_batch.use_cross_replica_mean = None
    """
    assert parse([], [RESNET_CIFAR10, recorded]).gan(CIFAR) == parse([], [RESNET_CIFAR10]).gan(CIFAR)
    assert not caplog.messages


def test_ignored_parameters_are_reported_once(caplog):
    lines = [
        "run_config.iterations_per_loop = 500",
        "tf.train.AdamOptimizer.use_locking = True",
        "ModularGAN.d_optimizer_fn = @tf.train.AdamOptimizer",
    ]
    parse([], [RESNET_CIFAR10, *lines])
    assert sorted(caplog.messages) == [
        "AdamOptimizer.use_locking changes nothing here: updates are never concurrent",
        "run_config.iterations_per_loop changes nothing here: it applies only to TPUs",
    ]


def test_later_files_and_bindings_take_precedence(tmp_path):
    first, second = tmp_path / "first.gin", tmp_path / "second.gin"
    first.write_text(RESNET_CIFAR10)
    second.write_text("options.z_dim = 64\noptions.batch_size = 32\n")
    options = parse([first, second], ["options.batch_size = 16"]).options
    assert (options.z_dim, options.batch_size, options.disc_iters) == (64, 16, 5)


def test_an_included_file_is_next_to_the_including_file(tmp_path, monkeypatch):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "base.gin").write_text(RESNET_CIFAR10)
    (folder / "mine.gin").write_text("include 'base.gin'\noptions.z_dim = 64\n")
    (tmp_path / "base.gin").write_text("options.z_dim = 'not this one'")
    monkeypatch.chdir(tmp_path)
    assert parse([folder / "mine.gin"]).options.z_dim == 64
    assert parse(["configs/mine.gin"]).options.z_dim == 64
    (tmp_path / "base.gin").unlink()
    (tmp_path / "yours.gin").write_text("include 'configs/base.gin'\n")
    assert parse([tmp_path / "yours.gin"]).options.z_dim == 128


METHODS = {
    "SSGAN": "options.gan_class = @SSGAN\nSSGAN.rotated_batch_size = 16",
    "S3GAN": "options.gan_class = @S3GAN\nS3GAN.rotated_batch_fraction = 2\nModularGAN.conditional = True",
}


@pytest.mark.parametrize("name", METHODS)
def test_a_parameter_of_the_base_class_can_be_bound_under_the_name_of_a_method(name):
    """As in compare_gan, where methods are subclasses of ModularGAN."""

    def configured(owner):
        lines = ["g_lr = 1e-3", "experimental_force_graph_unroll = True", "g_optimizer_fn = @optax.lion"]
        return parse([], [RESNET_CIFAR10, METHODS[name], *(f"{owner}.{line}" for line in lines)])

    found = configured(name)
    assert found.gan(CIFAR) == configured("ModularGAN").gan(CIFAR)
    assert (found.gan(CIFAR).g_lr, found.gan(CIFAR).sub_batches) == (1e-3, 2 + found.options.disc_iters - 1)
    assert f"{name}.g_lr = 0.001" in found.operative_config
    assert "ModularGAN.g_lr" not in found.operative_config
    assert parse([], [found.operative_config]) == found


@pytest.mark.parametrize("rate", [1e-3, 2e-4])  # the second is the default
def test_the_name_of_the_method_takes_precedence_over_the_base_class(rate):
    lines = [f"SSGAN.g_lr = {rate}", "ModularGAN.g_lr = 0.5", "ModularGAN.d_lr = 0.25", "S3GAN.d_lr = 0.1"]
    for order in (lines, lines[::-1]):
        gan = parse([], [RESNET_CIFAR10, METHODS["SSGAN"], *order]).gan(CIFAR)
        assert (gan.g_lr, gan.d_lr) == (rate, 0.25)


def test_the_scope_of_a_method_holds_for_its_base_class():
    lines = [
        *("options.gan_class = @mine/SSGAN", "mine/SSGAN.g_lr = 1e-3", "SSGAN.g_lr = 0.5"),
        *("mine/ModularGAN.d_lr = 0.25", "ModularGAN.ema_start_step = 3"),
    ]
    parsed = parse([], [RESNET_CIFAR10, METHODS["SSGAN"], *lines])
    gan = parsed.gan(CIFAR)
    assert (gan.g_lr, gan.d_lr, gan.ema_start_step) == (1e-3, 0.25, 3)
    assert parse([], [parsed.operative_config]) == parsed


def test_macros_and_blocks():
    lines = "size = 48\noptions:\n  batch_size = %size\n  z_dim = 64\n"
    options = parse([], [RESNET_CIFAR10, lines]).options
    assert (options.batch_size, options.z_dim) == (48, 64)


def test_a_configuration_imports_the_module_that_adds_a_loss(tmp_path, monkeypatch):
    (tmp_path / "my_losses.py").write_text(
        "from compare_gan.core.registry import LOSSES\n"
        "from compare_gan.core.types import LossPair\n"
        "@LOSSES.register('shifted')\n"
        "def shifted(real_logits, fake_logits, shift: float = 0.0):\n"
        "    return LossPair(fake_logits.mean() + shift, -fake_logits.mean())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(LOSSES, "_items", dict(LOSSES._items))
    try:
        parsed = parse([], [RESNET_CIFAR10, "import my_losses\nloss.fn = @shifted\nshifted.shift = 3"])
        assert parsed.gan(CIFAR).loss(jnp.zeros(2), jnp.zeros(2)).d == 3
        assert parsed.operative_config.startswith("import my_losses\n")
        assert parse([], [parsed.operative_config]) == parsed
    finally:
        EXPOSED.pop("my_losses.shifted", None)
        sys.modules.pop("my_losses", None)


def test_direct_calls_ignore_bindings():
    gin.clear_config()
    register_all()
    try:
        gin.parse_config("standardize_batch.decay = 0.5\nSSGAN.self_supervision = 'rotation_only'")
        assert StandardizeBatch().decay == 0.999
        assert configured(StandardizeBatch)().decay == 0.5
        base = GAN(
            spec=CIFAR, make_generator=resnet_cifar.Generator, make_discriminator=resnet_cifar.Discriminator
        )
        assert ssgan(base, rotated_batch_size=16).adversarial_weight == 1
        assert hinge(jnp.ones(2), -jnp.ones(2)).d == 0
    finally:
        gin.clear_config()


def test_two_configurations_in_one_process():
    first = parse([], [RESNET_CIFAR10, "resnet_cifar.Generator.ch = 16"])
    second = parse([], [DCGAN_CELEBA64])
    third = parse([], [RESNET_CIFAR10])
    assert gin.config_str() == "" and not gin.config_is_locked()
    assert first.gan(CIFAR).make_generator == functools.partial(resnet_cifar.Generator, ch=16)
    assert second.gan(CELEB).make_generator is dcgan.Generator
    assert third.gan(CIFAR).make_generator is resnet_cifar.Generator
    assert third.gan(CIFAR).disc_iters == 5


def test_a_bound_callable_is_a_value():
    one, other = bound(resnet_small.Discriminator, project_y=True), bound(resnet_small.Discriminator, ch=16)
    assert one == functools.partial(resnet_small.Discriminator, project_y=True) and one != other
    assert functools.partial(resnet_small.Discriminator, project_y=True) == one
    assert hash(one) == hash(bound(resnet_small.Discriminator, ch=32, project_y=True))
    assert bound(resnet_small.Discriminator, ch=32) is resnet_small.Discriminator
    assert bound(one, project_y=False) is resnet_small.Discriminator

"""`compare-gan explain`: warnings, errors and costs of a configuration."""

import jax
import pytest

from compare_gan.config.costs import costs, flops
from compare_gan.config.explain import explain
from compare_gan.config.parse import parse
from compare_gan.config.recipes import FOLDER
from compare_gan.config.show import text
from compare_gan.core.tables import WIDTH
from compare_gan.core.types import ImageSpec
from compare_gan.main import main
from tests.helpers.tiers import slow_unless

BASE = """
dataset.name = "cifar10"
options.architecture = "resnet_cifar_arch"
options.batch_size = 8
options.gan_class = @ModularGAN
options.training_steps = 10
resnet_cifar.Generator.ch = 4
resnet_cifar.Discriminator.ch = 4
"""
CONDITIONAL = "ModularGAN.conditional = True\nG.batch_norm_fn = @conditional_batch_norm"
S3GAN = f"options.gan_class = @S3GAN\nS3GAN.rotated_batch_fraction = 2\n{CONDITIONAL}"


@pytest.fixture(autouse=True)
def without_counting(request, monkeypatch):
    """Counting costs seconds; only a test that asks for it does."""
    if "counted" not in request.fixturenames:
        monkeypatch.setattr("compare_gan.config.explain.costs", lambda *_: None)


@pytest.fixture
def counted():
    pass


def explained(*lines: str):
    return explain([], [BASE, *lines])


# Bindings -> part of the warning.
RMSPROP = "ModularGAN.g_optimizer_fn = @tf.train.RMSPropOptimizer"
WARNINGS = {
    "dcgan.Generator.ch = 3": "never read: options.architecture is 'resnet_cifar_arch'",
    "conditional_batch_norm.use_bias = True": "never read: G.batch_norm_fn is None and D.batch_norm_fn is",
    "S3GAN.project_y = True": "never read: options.gan_class is @ModularGAN",
    "Rotation.num_images = 4": "never read: ModularGAN.tasks is ()",
    "tf.random.normal.mean = 1.0": "never read: z.distribution_fn is @uniform and eval_z.distribution_fn is",
    f"{RMSPROP}\ntf.train.AdamOptimizer.beta1 = 0.5": "never read: "
    "ModularGAN.g_optimizer_fn is @tf.train.RMSPropOptimizer and ModularGAN.d_optimizer_fn is None",
    "d/tf.train.AdamOptimizer.beta1 = 0.5": "d/AdamOptimizer.beta1 = 0.5 (--gin_bindings) is never read",
    "cosine_decay.decay_steps = 3": "never read: ModularGAN.lr_schedule is None",
    "ModularGAN.ema_rampup = 0.05": "changes nothing: ModularGAN.g_use_ema is False",
    "size = 3": "size = 3 (--gin_bindings) is never read",
    f"{S3GAN}\nS3GAN.project_y = True\nresnet_cifar.Discriminator.project_y = True": "projected twice",
    "penalty.fn = @wgangp_penalty\noptions.lamba = 0": "changes nothing: options.lamba is 0",
    "options.lamba = 10": "changes nothing: penalty.fn is @no_penalty",
    "dataset.seed = 3": "changes nothing: run_config.tf_random_seed also seeds",
    "ModularGAN.ema_decay = 0.9": "changes nothing: ModularGAN.g_use_ema is False",
    "weights.initializer = 'orthogonal'\nweights.stddev = 0.1": "weights.initializer is 'orthogonal'",
    "train_imagenet_transform.crop_method = 'middle'": "changes nothing: dataset.name is 'cifar10'",
    "z.stddev = 2.0": "z.stddev = 2.0 (--gin_bindings) changes nothing: training is the same without it",
    "standardize_batch.decay = 0.9": "changes nothing: training is the same without it",
    "spectral_norm.singular_value = 'auto'": "no layer uses spectral normalisation",
    "resnet_cifar.Generator.embed_y = True": "changes nothing: training is the same without it",
    "D.layer_norm = True\noptions.architecture = 'dcgan_arch'": "D.layer_norm = True (--gin_bindings) ch",
    f"{S3GAN}\nS3GAN.use_soft_pred = True": "changes nothing: S3GAN.use_predictor is False",
    "S3GAN.g_lr = 1e-3": "S3GAN.g_lr = 0.001 (--gin_bindings) is never read: options.gan_class is @Mod",
    f"{S3GAN}\nS3GAN.g_lr = 1e-3\nModularGAN.g_lr = 1e-2": "ModularGAN.g_lr = 0.01 (--gin_bindings) is never "
    "read: S3GAN.g_lr is 0.001",
    f"{S3GAN}\nS3GAN.ema_decay = 0.9": "changes nothing: ModularGAN.g_use_ema is False",
    f"{S3GAN}\nS3GAN.self_supervision = 'none'": "changes nothing: S3GAN.self_supervision is 'none'",
    "penalty.fn = @wgangp_penalty\nD.batch_norm_fn = @batch_norm": "the output for an image depends on",
    "penalty.fn = @r1_penalty\nr1_penalty.interval = 4\nD.batch_norm_fn = @batch_norm": "the output for an "
    "image depends on",
    "ModularGAN.augment = @AugmentPipe()": "generated images will look augmented, too",
    "loss.fn = @wasserstein": "needs a bounded gradient",
    "ModularGAN.g_use_ema = True": "the average of the generator is never updated",
    "ModularGAN.conditional = True": "neither network uses the labels",
    "z.distribution_fn = @tf.random.normal": "eval_z differs from z",
}


@pytest.mark.parametrize("lines", WARNINGS)
def test_bindings_without_effect_cause_a_warning(lines):
    explanation = explained(lines)
    assert not explanation.errors
    assert any(WARNINGS[lines] in warning for warning in explanation.warnings), explanation.warnings


# Bindings that take effect, some in combination only.
QUIET = [
    "G.batch_norm_fn = @batch_norm\nstandardize_batch.decay = 0.9",
    "G.spectral_norm = True\nspectral_norm.singular_value = 'auto'",
    f"{CONDITIONAL}\nresnet_cifar.Generator.embed_y = True",
    "size = 32\noptions.batch_size = %size",
    "ModularGAN.g_optimizer_fn = @tf.train.AdamOptimizer\nweights.stddev = 0.1",
    "ModularGAN.d_optimizer_fn = @d/tf.train.AdamOptimizer\nd/tf.train.AdamOptimizer.beta1 = 0.5",
    "penalty.fn = @wgangp_penalty\nloss.fn = @wasserstein\noptions.lamba = 10",
    "ModularGAN.g_use_ema = True\nModularGAN.ema_start_step = 0\nModularGAN.ema_decay = 0.9",
    f"{S3GAN}\nS3GAN.project_y = True\nS3GAN.use_predictor = True\nS3GAN.use_soft_pred = True",
    f"{S3GAN}\nS3GAN.g_lr = 1e-3\nS3GAN.g_optimizer_fn = @optax.lion\noptax.lion.b1 = 0.5",
    "standardize_batch.decay = 0.999\nModularGAN.ema_decay = 0.9999",
    "ModularGAN.g_optimizer_fn = @optax.lion\noptax.lion.b1 = 0.5",
    "ModularGAN.lr_schedule = @cosine_decay\ncosine_decay.decay_steps = 10\nModularGAN.lr_warmup_steps = 3",
]


@pytest.mark.parametrize("lines", QUIET)
def test_bindings_with_effect_cause_no_warning(lines):
    explanation = explained(lines)
    assert not explanation.errors and not explanation.warnings


# Invalid combinations -> part of the error.
ERRORS = {
    "options.gan_class = @S3GAN\nS3GAN.rotated_batch_fraction = 2": "S3GAN needs labels",
    f"{S3GAN}\nS3GAN.rotated_batch_fraction = 3": "their quotient must be a multiple of 4",
    "options.z_dim = 30\nresnet_cifar.Generator.hierarchical_z = True": "options.z_dim is 30",
    f"{S3GAN}\nS3GAN.project_y = True\nModularGAN.tasks = (@Transition(),)\nTransition.steps = 9": (
        "projected twice"
    ),
    "dataset.name = 'celeb_a'": "resnet_cifar_arch makes 32x32 images",
    "dataset.name = 'unheard-of'": "the image shape of 'unheard-of' is unknown",
    "options.z_dm = 3\noptoins.z_dim = 3": "did you mean 'options'?",
}


@pytest.mark.parametrize("lines", ERRORS)
def test_invalid_combinations_are_errors(lines):
    explanation = explained(lines)
    assert ERRORS[lines] in explanation.errors[-1] and explanation.parsed is not None
    assert ERRORS[lines] in text(explanation).replace("\n         ", " ")


def test_a_parameter_of_the_base_class_is_listed_where_it_is_bound():
    groups = {group.name: group for group in explained(S3GAN, "S3GAN.g_lr = 1e-3").groups}
    listed = {
        name: {line.parameter: line.value for line in groups[name].lines} for name in ("S3GAN", "ModularGAN")
    }
    assert listed["S3GAN"]["g_lr"] == "0.001" and "d_lr" not in listed["S3GAN"]
    assert listed["ModularGAN"]["d_lr"] == "None" and "g_lr" not in listed["ModularGAN"]


def test_bindings_are_grouped_by_what_reads_them(tmp_path):
    path = tmp_path / "mine.gin"
    path.write_text(f"{BASE}G.spectral_norm = True\n")
    groups = {group.name: group for group in explain([path], ["G.batch_norm_fn = @batch_norm"]).groups}
    lines = {line.parameter: line for line in groups["G"].lines}
    assert (lines["spectral_norm"].value, lines["spectral_norm"].place) == ("True", "mine.gin:9")
    assert (lines["batch_norm_fn"].value, lines["batch_norm_fn"].place) == ("@batch_norm", "--gin_bindings")
    defaults = {line.parameter: line.value for line in groups["D"].lines}
    assert defaults == {"batch_norm_fn": "None", "layer_norm": "False", "spectral_norm": "False"}
    assert groups["batch_norm"].about == "Batch norm with learned scale and offset, the same for all images"
    assert "dcgan.Generator" not in groups and list(groups)[:2] == ["dataset", "options"]


def test_parameters_and_memory_are_those_of_the_state(counted):
    gan = parse([], [BASE, "D.spectral_norm = True", "ModularGAN.g_use_ema = True"]).gan(
        ImageSpec((32, 32, 3), 10)
    )
    state, found = jax.eval_shape(gan.init, jax.random.key(0)), costs(gan)
    assert sum(part.trained for part in found.generator) == sum(
        x.size for x in jax.tree.leaves(state.g.params)
    )
    assert sum(part.untrained for part in found.discriminator) == sum(
        x.size for x in jax.tree.leaves(state.d.extra)
    )
    assert [part.name for part in found.generator] == ["fc_noise", "blocks", "final_conv"]
    total = found.parameters + found.statistics + found.optimisers + found.average
    assert total + 4 == sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))  # a step is int32
    assert found.images == 8 * (32 * 32 * 3 + 4) and found.temporaries is None


def test_flops_count_every_discriminator_update(counted):
    """XLA counts the body of a loop once, regardless of its length."""

    small = ["infogan.Generator.ch = 2", "infogan.Discriminator.ch = 2"]
    small += ["options.architecture = 'infogan_arch'"]

    def of(updates: int, unroll: bool = False) -> float:
        lines = [f"options.disc_iters = {updates}", f"ModularGAN.experimental_force_graph_unroll = {unroll}"]
        return flops(parse([], [BASE, *small, *lines]).gan(ImageSpec((16, 16, 3))))

    one, two = of(1), of(2)
    assert 0 < two - one < one and of(5) == pytest.approx(one + 4 * (two - one))
    assert of(3, unroll=True) - of(1, unroll=True) == pytest.approx(2 * (two - one))


PACKAGED = sorted((FOLDER / "methods").glob("*.gin"))
IN_DEFAULT_TIER = ("s3gan_co_soft", "no_labels")


@pytest.mark.parametrize(
    "path", slow_unless(lambda path: path.stem in IN_DEFAULT_TIER, PACKAGED), ids=lambda path: path.stem
)
def test_the_packaged_configurations_have_no_error(path):
    assert not explain([FOLDER / "small.gin", path]).errors


def test_the_command_prints_a_page(counted, tmp_path, capsys):
    (tmp_path / "mine.gin").write_text(f"{BASE}dcgan.Generator.ch = 3\n")
    assert main(["explain", str(tmp_path / "mine.gin"), "--image_shape", "32", "32", "1"]) == 0
    page = capsys.readouterr().out
    assert all(len(line) <= WIDTH for line in page.splitlines())
    assert "cifar10: 32x32x1, 10 classes" in page and page.endswith("0 errors, 1 warning\n")
    assert main(["explain", str(tmp_path / "mine.gin"), "--gin_bindings", "optoins.z_dim = 3"]) == 2
    captured = capsys.readouterr()
    assert "error:   binding 'optoins.z_dim = 3'" in captured.out and captured.err.count("\n") == 1

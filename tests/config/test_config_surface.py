"""Names and defaults of all parameters in compare_gan's configurations."""

import dataclasses

import pytest

from compare_gan.config.gin_factories import parameters
from compare_gan.config.parse import parse
from compare_gan.config.reader import find
from compare_gan.core.types import ImageSpec
from compare_gan.data.facts import DATASET_INFO

REQUIRED = "required"
BASE = """
dataset.name = "cifar10"
options.architecture = "resnet_cifar_arch"
options.batch_size = 64
options.gan_class = @ModularGAN
options.training_steps = 10
"""
UNROLLED = "ModularGAN.experimental_force_graph_unroll = True"
CONDITIONAL = "ModularGAN.conditional = True"
SSGAN = "options.gan_class = @SSGAN\nSSGAN.rotated_batch_size = 16"
S3GAN = f"options.gan_class = @S3GAN\nS3GAN.rotated_batch_fraction = 2\n{CONDITIONAL}"
PREDICTOR = f"{S3GAN}\nS3GAN.use_predictor = True"
TRUNCATED = "z.distribution_fn = @tf.random.truncated_normal"
NORMAL = "z.distribution_fn = @tf.random.normal"
BIGGAN = "options.architecture = 'resnet_biggan_arch'\ndataset.name = 'imagenet_128'\noptions.z_dim = 120"
DEEP = "options.architecture = 'resnet_biggan_deep_arch'\ndataset.name = 'imagenet_128'"


def optimizer(name: str, *lines: str) -> str:
    return "\n".join([f"ModularGAN.g_optimizer_fn = @tf.train.{name}Optimizer", *lines])


def decay(name: str, *lines: str) -> str:
    return "\n".join([f"ModularGAN.lr_schedule = @tf.train.{name}", *lines])


DA, FTRL, PGD, PA = (
    optimizer(name) for name in ("AdagradDA", "Ftrl", "ProximalGradientDescent", "ProximalAdagrad")
)
GAMMA = "z.distribution_fn = @tf.random.gamma\ntf.random.gamma.alpha = 1.0"
POISSON = "z.distribution_fn = @tf.random.poisson\ntf.random.poisson.lam = 1.0"
CATEGORICAL = "z.distribution_fn = @tf.random.categorical\ntf.random.categorical.logits = (0.0, 1.0)"
DECAY = {
    name: decay(name, f"{name}.decay_steps = 10", f"{name}.decay_rate = 0.9")
    for name in ("exponential_decay", "inverse_time_decay", "natural_exp_decay")
}
COSINE = {
    name: decay(name, f"{name}.decay_steps = 10")
    for name in ("cosine_decay", "linear_cosine_decay", "noisy_linear_cosine_decay", "polynomial_decay")
}
RESTARTS = decay("cosine_decay_restarts", "cosine_decay_restarts.first_decay_steps = 10")
MOMENTUM = optimizer("Momentum", "tf.train.MomentumOptimizer.momentum = 0.9")

# Parameter -> its default, another value, and further bindings that this value needs to take effect.
SURFACE = {
    "dataset.name": (None, "mnist", ""),
    "dataset.seed": (547, 3, ""),
    "options.batch_size": (REQUIRED, 32, ""),
    "options.gan_class": (REQUIRED, "@SSGAN", SSGAN),
    "options.architecture": (REQUIRED, "dcgan_arch", ""),
    "options.training_steps": (REQUIRED, 20, ""),
    "options.discriminator_normalization": (None, "layer_norm", ""),
    "options.lamba": (1, 10, ""),
    "options.disc_iters": (1, 5, ""),
    "options.z_dim": (128, 64, ""),
    "run_config.tf_random_seed": (None, 3, ""),
    "run_config.single_core": (False, True, ""),
    "run_config.iterations_per_loop": (1000, 500, ""),
    "run_config.save_checkpoints_steps": (5000, 100, ""),
    "run_config.keep_checkpoint_max": (1000, 3, ""),
    "ModularGAN.deprecated_split_disc_calls": (False, True, ""),
    "ModularGAN.experimental_joint_gen_for_disc": (False, True, UNROLLED),
    "ModularGAN.experimental_force_graph_unroll": (False, True, ""),
    "ModularGAN.g_use_ema": (False, True, ""),
    "ModularGAN.ema_decay": (0.9999, 0.99, ""),
    "ModularGAN.ema_start_step": (40000, 10, ""),
    "ModularGAN.g_optimizer_fn": ("@tf.train.AdamOptimizer", "@tf.train.RMSPropOptimizer", ""),
    "ModularGAN.d_optimizer_fn": (None, "@tf.train.AdamOptimizer", ""),
    "ModularGAN.g_lr": (0.0002, 1e-3, ""),
    "ModularGAN.d_lr": (None, 1e-3, ""),
    "ModularGAN.conditional": (False, True, ""),
    "ModularGAN.fit_label_distribution": (False, True, ""),
    "SSGAN.self_supervision": ("rotation_gan", "rotation_only", SSGAN),
    "SSGAN.rotated_batch_size": (REQUIRED, 32, SSGAN),
    "SSGAN.weight_rotation_loss_d": (1.0, 0.5, SSGAN),
    "SSGAN.weight_rotation_loss_g": (0.2, 0.5, SSGAN),
    "S3GAN.self_supervision": ("rotation", "none", S3GAN),
    "S3GAN.rotated_batch_fraction": (REQUIRED, 4, S3GAN),
    "S3GAN.weight_rotation_loss_d": (1.0, 0.5, S3GAN),
    "S3GAN.weight_rotation_loss_g": (0.2, 0.5, S3GAN),
    "S3GAN.project_y": (False, True, S3GAN),
    "S3GAN.use_predictor": (False, True, S3GAN),
    "S3GAN.use_soft_pred": (False, True, PREDICTOR),
    "S3GAN.weight_class_loss": (1.0, 0.5, PREDICTOR),
    "S3GAN.use_soft_labels": (False, True, S3GAN),
    "z.distribution_fn": ("@tf.random.uniform", "@tf.random.normal", ""),
    "z.minval": (-1.0, 0.0, ""),
    "z.maxval": (1.0, 2.0, ""),
    "z.stddev": (1.0, 2.0, NORMAL),
    "eval_z.distribution_fn": ("@tf.random.uniform", "@tf.random.truncated_normal", ""),
    "eval_z.minval": (-1.0, 0.0, ""),
    "eval_z.maxval": (1.0, 2.0, ""),
    "eval_z.stddev": (1.0, 2.0, "eval_z.distribution_fn = @tf.random.normal"),
    "tf.random.normal.mean": (0.0, 1.0, NORMAL),
    "tf.random.normal.seed": (None, 3, NORMAL),
    "tf.random.uniform.seed": (None, 3, "z.distribution_fn = @tf.random.uniform"),
    "tf.random.truncated_normal.mean": (0.0, 1.0, TRUNCATED),
    "tf.random.truncated_normal.seed": (None, 3, TRUNCATED),
    "tf.random.gamma.alpha": (REQUIRED, 2.0, GAMMA),
    "tf.random.gamma.beta": (None, 2.0, GAMMA),
    "tf.random.gamma.seed": (None, 3, GAMMA),
    "tf.random.poisson.lam": (REQUIRED, 2.0, POISSON),
    "tf.random.poisson.seed": (None, 3, POISSON),
    "tf.random.categorical.logits": (REQUIRED, (1.0, 0.0), CATEGORICAL),
    "tf.random.categorical.seed": (None, 3, CATEGORICAL),
    "G.batch_norm_fn": (None, "@self_modulated_batch_norm", ""),
    "G.spectral_norm": (False, True, ""),
    "D.batch_norm_fn": (None, "@no_batch_norm", ""),
    "D.layer_norm": (False, True, ""),
    "D.spectral_norm": (False, True, ""),
    "loss.fn": ("@non_saturating", "@least_squares", ""),
    "penalty.fn": ("@no_penalty", "@l2_penalty", ""),
    "weights.initializer": ("normal", "truncated", ""),
    "weights.stddev": (0.02, 0.1, ""),
    "spectral_norm.epsilon": (1e-12, 1e-6, ""),
    "spectral_norm.singular_value": ("left", "right", ""),
    "standardize_batch.decay": (0.999, 0.9, ""),
    "standardize_batch.epsilon": (1e-3, 1e-5, ""),
    "standardize_batch.use_cross_replica_mean": (None, False, ""),
    "standardize_batch.use_moving_averages": (True, False, ""),
    "self_modulated_batch_norm.num_hidden": (32, 0, "G.batch_norm_fn = @self_modulated_batch_norm"),
    "conditional_batch_norm.use_bias": (False, True, "G.batch_norm_fn = @conditional_batch_norm"),
    "cross_replica_moments.parallel": (True, False, ""),
    "cross_replica_moments.group_size": (None, 2, ""),
    "replace_labels.file_pattern": (None, "labels-train.npz", ""),
    "train_imagenet_transform.crop_method": ("distorted", "random", ""),
    "eval_imagenet_transform.crop_method": ("middle", "none", ""),
    "tf.train.AdamOptimizer.beta1": (0.9, 0.5, ""),
    "tf.train.AdamOptimizer.beta2": (0.999, 0.9, ""),
    "tf.train.AdamOptimizer.epsilon": (1e-8, 1e-3, ""),
    "tf.train.AdamOptimizer.use_locking": (False, True, ""),
    "tf.train.GradientDescentOptimizer.use_locking": (False, True, optimizer("GradientDescent")),
    "tf.train.MomentumOptimizer.momentum": (REQUIRED, 0.5, MOMENTUM),
    "tf.train.MomentumOptimizer.use_nesterov": (False, True, MOMENTUM),
    "tf.train.MomentumOptimizer.use_locking": (False, True, MOMENTUM),
    "tf.train.RMSPropOptimizer.decay": (0.9, 0.5, optimizer("RMSProp")),
    "tf.train.RMSPropOptimizer.momentum": (0.0, 0.5, optimizer("RMSProp")),
    "tf.train.RMSPropOptimizer.epsilon": (1e-10, 1e-5, optimizer("RMSProp")),
    "tf.train.RMSPropOptimizer.centered": (False, True, optimizer("RMSProp")),
    "tf.train.RMSPropOptimizer.use_locking": (False, True, optimizer("RMSProp")),
    "tf.train.AdagradOptimizer.initial_accumulator_value": (0.1, 1.0, optimizer("Adagrad")),
    "tf.train.AdagradOptimizer.use_locking": (False, True, optimizer("Adagrad")),
    "tf.train.AdadeltaOptimizer.rho": (0.95, 0.5, optimizer("Adadelta")),
    "tf.train.AdadeltaOptimizer.epsilon": (1e-8, 1e-3, optimizer("Adadelta")),
    "tf.train.AdadeltaOptimizer.use_locking": (False, True, optimizer("Adadelta")),
    "tf.train.FtrlOptimizer.learning_rate_power": (-0.5, -0.7, FTRL),
    "tf.train.FtrlOptimizer.initial_accumulator_value": (0.1, 1.0, FTRL),
    "tf.train.FtrlOptimizer.l1_regularization_strength": (0.0, 0.1, FTRL),
    "tf.train.FtrlOptimizer.l2_regularization_strength": (0.0, 0.1, FTRL),
    "tf.train.FtrlOptimizer.l2_shrinkage_regularization_strength": (0.0, 0.1, FTRL),
    "tf.train.FtrlOptimizer.use_locking": (False, True, FTRL),
    "tf.train.AdagradDAOptimizer.initial_gradient_squared_accumulator_value": (0.1, 1.0, DA),
    "tf.train.AdagradDAOptimizer.l1_regularization_strength": (0.0, 0.1, DA),
    "tf.train.AdagradDAOptimizer.l2_regularization_strength": (0.0, 0.1, DA),
    "tf.train.AdagradDAOptimizer.use_locking": (False, True, DA),
    "tf.train.ProximalGradientDescentOptimizer.l1_regularization_strength": (0.0, 0.1, PGD),
    "tf.train.ProximalGradientDescentOptimizer.l2_regularization_strength": (0.0, 0.1, PGD),
    "tf.train.ProximalGradientDescentOptimizer.use_locking": (False, True, PGD),
    "tf.train.ProximalAdagradOptimizer.initial_accumulator_value": (0.1, 1.0, PA),
    "tf.train.ProximalAdagradOptimizer.l1_regularization_strength": (0.0, 0.1, PA),
    "tf.train.ProximalAdagradOptimizer.l2_regularization_strength": (0.0, 0.1, PA),
    "tf.train.ProximalAdagradOptimizer.use_locking": (False, True, PA),
    "tf.train.cosine_decay.decay_steps": (REQUIRED, 20, COSINE["cosine_decay"]),
    "tf.train.cosine_decay.alpha": (0.0, 0.1, COSINE["cosine_decay"]),
    "tf.train.cosine_decay_restarts.first_decay_steps": (REQUIRED, 20, RESTARTS),
    "tf.train.cosine_decay_restarts.t_mul": (2.0, 3.0, RESTARTS),
    "tf.train.cosine_decay_restarts.m_mul": (1.0, 0.5, RESTARTS),
    "tf.train.cosine_decay_restarts.alpha": (0.0, 0.1, RESTARTS),
    **{
        f"tf.train.{name}.{parameter}": (*values, needs)
        for name, needs in DECAY.items()
        for parameter, values in {
            "decay_steps": (REQUIRED, 20),
            "decay_rate": (REQUIRED, 0.5),
            "staircase": (False, True),
        }.items()
    },
    **{
        f"tf.train.{name}.{parameter}": (*values, COSINE[name])
        for name in ("linear_cosine_decay", "noisy_linear_cosine_decay")
        for parameter, values in {
            "decay_steps": (REQUIRED, 20),
            "num_periods": (0.5, 2.0),
            "alpha": (0.0, 0.1),
            "beta": (0.001, 0.1),
        }.items()
    },
    "tf.train.noisy_linear_cosine_decay.initial_variance": (1.0, 0.1, COSINE["noisy_linear_cosine_decay"]),
    "tf.train.noisy_linear_cosine_decay.variance_decay": (0.55, 0.1, COSINE["noisy_linear_cosine_decay"]),
    "tf.train.polynomial_decay.decay_steps": (REQUIRED, 20, COSINE["polynomial_decay"]),
    "tf.train.polynomial_decay.power": (1.0, 2.0, COSINE["polynomial_decay"]),
    "tf.train.polynomial_decay.cycle": (False, True, COSINE["polynomial_decay"]),
    "resnet_cifar.Generator.hierarchical_z": (False, True, ""),
    "resnet_cifar.Generator.embed_z": (False, True, ""),
    "resnet_cifar.Generator.embed_y": (False, True, CONDITIONAL),
    "resnet_cifar.Discriminator.project_y": (False, True, CONDITIONAL),
    "resnet_biggan.Generator.ch": (96, 16, BIGGAN),
    "resnet_biggan.Generator.blocks_with_attention": ("B4", "B3", BIGGAN),
    "resnet_biggan.Generator.hierarchical_z": (True, False, BIGGAN),
    "resnet_biggan.Generator.embed_z": (False, True, BIGGAN),
    "resnet_biggan.Generator.embed_y": (True, False, BIGGAN),
    "resnet_biggan.Generator.embed_y_dim": (128, 64, BIGGAN),
    "resnet_biggan.Generator.embed_bias": (False, True, BIGGAN),
    "resnet_biggan.Discriminator.ch": (96, 16, BIGGAN),
    "resnet_biggan.Discriminator.blocks_with_attention": ("B1", "B2", BIGGAN),
    "resnet_biggan.Discriminator.project_y": (True, False, BIGGAN),
    "BigGanResNetBlock.add_shortcut": (True, False, BIGGAN),
    "resnet_biggan_deep.Generator.ch": (128, 16, DEEP),
    "resnet_biggan_deep.Generator.embed_y": (True, False, DEEP),
    "resnet_biggan_deep.Generator.embed_y_dim": (128, 64, DEEP),
    "resnet_biggan_deep.Generator.experimental_fast_conv_to_rgb": (False, True, DEEP),
    "resnet_biggan_deep.Discriminator.ch": (128, 16, DEEP),
    "resnet_biggan_deep.Discriminator.blocks_with_attention": ("B1", "B2", DEEP),
    "resnet_biggan_deep.Discriminator.project_y": (True, False, DEEP),
}
ALONE = ["@no_batch_norm", "@batch_norm", "@wasserstein", "@hinge", "@dragan_penalty", "@wgangp_penalty"]


def written(value) -> str:
    return value if isinstance(value, str) and value.startswith("@") else repr(value)


def outcome(*lines: str):
    return dataclasses.replace(parse([], [BASE, *lines]), operative_config="")


@pytest.mark.parametrize("name", SURFACE)
def test_a_parameter_has_its_default(name, caplog):
    default, _, needs = SURFACE[name]
    owner, _, parameter = name.rpartition(".")
    found = parameters(find(owner))[parameter].default
    if default == REQUIRED:
        assert found is parameters(find(owner))[parameter].empty
    elif isinstance(default, str) and default.startswith("@"):
        assert found is find(default[1:]).target
    else:
        assert found == default and type(found) is type(default)
    if default != REQUIRED and name not in BASE:
        assert outcome(needs, f"{name} = {written(default)}") == outcome(needs) and not caplog.messages


@pytest.mark.parametrize("name", SURFACE)
def test_a_parameter_takes_effect_or_is_reported_as_ignored(name, caplog):
    _, other, needs = SURFACE[name]
    changed = outcome(needs, f"{name} = {written(other)}") != outcome(
        needs if name != "options.gan_class" else ""
    )
    shortest = ".".join(name.split(".")[-2:])
    assert changed != (len(caplog.messages) == 1)
    assert changed or caplog.messages[0].startswith(f"{shortest} changes nothing here: ")


@pytest.mark.parametrize("reference", ALONE)
def test_a_part_without_parameters_can_be_named(reference):
    assert not parameters(find(reference[1:]))


def test_the_data_sets_of_the_example_configurations():
    shapes = {
        name: DATASET_INFO[name].spec for name in ("cifar10", "celeb_a", "celeb_a_hq_128", "lsun-bedroom")
    }
    assert shapes == {
        "cifar10": ImageSpec((32, 32, 3), 10),
        "celeb_a": ImageSpec((64, 64, 3)),
        "celeb_a_hq_128": ImageSpec((128, 128, 3)),
        "lsun-bedroom": ImageSpec((128, 128, 3)),
    }
    assert DATASET_INFO["imagenet_128"].spec == ImageSpec((128, 128, 3), 1000)


def test_the_stddev_of_the_initial_weights_is_used():
    """In compare_gan most layers use 0.02 regardless of the binding."""
    import jax
    import numpy as np

    gan = parse([], [BASE, "weights.stddev = 0.5", "resnet_cifar.Generator.ch = 16"]).gan(
        ImageSpec((32, 32, 3), 10)
    )
    kernel = jax.jit(gan.init)(jax.random.key(0)).g.params["fc_noise"]["kernel"]
    assert np.std(kernel) == pytest.approx(0.5, rel=0.05)

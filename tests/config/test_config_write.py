"""Configurations written from a GAN, against the GAN that reading them gives."""

import dataclasses
import functools

import pytest

from compare_gan.architectures import dcgan
from compare_gan.config.parse import parse
from compare_gan.config.write import write_config
from compare_gan.core.registry import ARCHITECTURES, SCHEDULES
from compare_gan.gans.gan import GAN
from compare_gan.gans.optimizers import adam
from compare_gan.gans.sampling import categorical, gamma, normal, truncated_normal, uniform
from compare_gan.gans.schedules import exponential_decay
from compare_gan.nn.norms import conditional_batch_norm
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions, Layers, StandardizeBatch
from compare_gan.penalties.gradient import wgangp_penalty
from compare_gan.tasks.rotation import Rotation
from compare_gan.training.schedule import TrainSchedule
from tests.helpers.combinations import combination
from tests.training.tiny import BASE, CONDITIONAL, GANS

SCHEDULE = TrainSchedule(7, save_every=3)


def read_back(gan: GAN) -> GAN:
    written = write_config(gan, data="noise", schedule=SCHEDULE)
    assert not written.unnamed
    return parse([], [written.config]).base(spec=gan.spec)


@pytest.mark.parametrize(
    "architecture, norm, method",
    [
        *((architecture, "@batch_norm", "unconditional") for architecture in ARCHITECTURES),
        ("resnet_small_arch", "@conditional_batch_norm", "conditional"),
        ("resnet_small_arch", "@self_modulated_batch_norm", "SSGAN"),
        ("resnet_small_arch", "None", "S3GAN"),
    ],
)
def test_every_architecture_and_method_is_written(architecture, norm, method):
    gan = combination(architecture, norm, method)()
    assert read_back(gan) == gan


@pytest.mark.parametrize("name", GANS)
def test_gans_made_in_python_are_written(name):
    assert read_back(GANS[name]) == GANS[name]


@pytest.mark.parametrize(
    "changes",
    [
        # The same part twice, with other arguments and with its defaults.
        {"g_optimizer_fn": functools.partial(adam, beta1=0.5), "d_optimizer_fn": adam},
        {"g_optimizer_fn": adam, "d_optimizer_fn": functools.partial(adam, beta1=0.5, epsilon=1e-6)},
        {
            "g_options": GeneratorOptions(functools.partial(conditional_batch_norm, gamma_offset=1.0)),
            "d_options": DiscriminatorOptions(batch_norm_fn=conditional_batch_norm),
        },
        {"tasks": (Rotation(4), Rotation(8, d_weight=0.5, name="more"))},
        {"penalty": wgangp_penalty, "penalty_weight": 10, "adversarial_weight": 0.5},
        {"prior": functools.partial(normal, stddev=0.5, mean=2.0)},
        {"prior": functools.partial(uniform, minval=0.0)},
        {"prior": functools.partial(gamma, alpha=2.0)},
        {"prior": functools.partial(categorical, logits=(0.0, 1.0))},
        {"lr_schedule": functools.partial(exponential_decay, decay_steps=5, decay_rate=0.5)},
        {"lr_schedule": functools.partial(SCHEDULES["cosine_decay_schedule"], decay_steps=5)},
        {"layers": Layers(batch=StandardizeBatch(use_moving_averages=False))},
        {"lr_warmup_steps": 5, "d_lr": 4e-4, "ema_rampup": 0.05, "remat": True},
    ],
    ids="-".join,
)
def test_arguments_of_parts_are_written(changes):
    gan = dataclasses.replace(CONDITIONAL, **changes)
    assert read_back(gan) == gan


def test_the_training_is_written():
    prior = functools.partial(truncated_normal, stddev=0.8)
    written = write_config(BASE, data="noise", schedule=SCHEDULE, seed=5, random_flip=True, eval_prior=prior)
    parsed = parse([], [written.config])
    assert (parsed.dataset.name, parsed.dataset.random_flip) == ("noise", True)
    assert parsed.options.training_steps == 7
    assert (parsed.run_config.tf_random_seed, parsed.run_config.save_checkpoints_steps) == (5, 3)
    assert parsed.eval_prior == prior
    assert parsed.operative_config == written.config


def my_loss(real_logits, fake_logits):
    raise NotImplementedError


def test_parts_without_a_gin_name_are_listed():
    gan = dataclasses.replace(
        BASE, loss=my_loss, make_generator=dcgan.Generator, g_optimizer_fn=lambda rate: adam(rate)
    )
    written = write_config(gan, data="noise", schedule=SCHEDULE)
    networks, loss, optimizer = written.unnamed
    assert networks.startswith("networks: ") and "dcgan.Generator" in networks
    assert loss == f"loss: {__name__}.my_loss" and optimizer.startswith("g_optimizer_fn: ")
    assert "#   loss: " in written.config and "loss.fn" not in written.config

"""Every architecture with every norm and every method: a step with finite losses, or one line that says no.

All combinations are built in the abstract. Steps of the smallest architecture are compiled and run with
every method; steps of all other combinations are slow tests.
"""

import itertools

import jax
import numpy as np
import pytest

from compare_gan.architectures import resnet30
from compare_gan.config.edge import parse
from compare_gan.core.errors import UserError
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.core.types import Batch, ImageSpec
from compare_gan.gans.step import train_step
from tests.tiers import slow_unless

SIDE = {"resnet_small_arch": 8, "resnet_stl_arch": 48, "resnet30_arch": 128}  # else 32
NORMS = ("None", "@batch_norm", "@conditional_batch_norm", "@self_modulated_batch_norm")
METHODS = {
    "unconditional": ["options.gan_class = @ModularGAN"],
    "conditional": ["options.gan_class = @ModularGAN", "ModularGAN.conditional = True"],
    "SSGAN": ["options.gan_class = @SSGAN", "SSGAN.rotated_batch_size = 4"],
    "S3GAN": [
        "options.gan_class = @S3GAN",
        "ModularGAN.conditional = True",
        "S3GAN.rotated_batch_fraction = 1",
        "S3GAN.project_y = True",
        "S3GAN.use_predictor = True",
    ],
}
CLASSES = 3


@pytest.fixture(autouse=True)
def shallow(monkeypatch):
    monkeypatch.setattr(resnet30, "BLOCKS", 1)


def combination(architecture, norm, method):
    module = architecture.removesuffix("_arch")
    lines = [
        "dataset.name = 'noise'",
        f"options.architecture = '{architecture}'",
        "options.batch_size = 4",
        "options.training_steps = 1",
        "options.z_dim = 20",
        "loss.fn = @hinge",
        f"G.batch_norm_fn = {norm}",
        "D.spectral_norm = True",
        f"{module}.Generator.ch = 4",
        f"{module}.Discriminator.ch = 4",
        *METHODS[method],
    ]
    if "biggan" in module:  # projects labels of its own accord
        lines.append(f"{module}.Discriminator.project_y = {method == 'conditional'}")
    side = SIDE.get(architecture, 32)
    return lambda: parse([], lines).gan(ImageSpec((side, side, 3), CLASSES))


def makes_no_sense(norm, method):
    return norm == "@conditional_batch_norm" and method in ("unconditional", "SSGAN")


EVERY = list(itertools.product(ARCHITECTURES, NORMS, METHODS))


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_all_are_built_or_refused(architecture):
    for norm, method in itertools.product(NORMS, METHODS):
        make = combination(architecture, norm, method)
        if makes_no_sense(norm, method) and architecture != "infogan_arch":  # whose norms are its own
            with pytest.raises(UserError, match="needs labels; set ModularGAN.conditional = True") as refused:
                make()
            assert "\n" not in str(refused.value)
        else:
            state = jax.eval_shape(make().init, jax.random.key(0))
            assert jax.tree.leaves(state.g.params)


def sensible():
    return [case for case in EVERY if not makes_no_sense(*case[1:])]


def in_default_tier(architecture, norm, method):
    """The smallest architecture with each method, each with another norm."""
    return architecture == "resnet_small_arch" and norm == NORMS[-1 - list(METHODS).index(method) % 2]


@pytest.mark.parametrize("architecture, norm, method", slow_unless(in_default_tier, sensible()))
def test_a_step_moves_every_weight_by_a_finite_amount(architecture, norm, method):
    gan = combination(architecture, norm, method)()
    rng = np.random.RandomState(0)
    images = rng.uniform(size=(1, gan.batch_size, *gan.spec.image_shape)).astype(np.float32)
    labels = rng.randint(-1, CLASSES, size=(1, gan.batch_size))
    before = jax.jit(gan.init)(jax.random.key(1))  # outside the step, whose compile time it would double
    step = jax.jit(lambda state, batch: train_step(gan, state, batch, jax.random.key(0)))
    after, metrics = step(before, Batch(images, labels))
    assert int(after.step) == int(before.step) + 1
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    for old, new in ((before.g.params, after.g.params), (before.d.params, after.d.params)):
        for (path, a), b in zip(jax.tree.leaves_with_path(old), jax.tree.leaves(new), strict=True):
            assert np.isfinite(b).all() and a.shape == b.shape, path
        assert any((a != b).any() for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True))

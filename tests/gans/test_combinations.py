"""Every architecture with every norm and every method: a step with finite losses, or one line that says no.

All combinations are built in the abstract. Steps are compiled and taken for two methods of each
architecture, in turn; with COMBINATIONS=all in the environment for all combinations, in an hour.
"""

import itertools
import os

import jax
import numpy as np
import pytest

from compare_gan.architectures import resnet30
from compare_gan.config.edge import parse
from compare_gan.core.errors import UserError
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.core.types import Batch, ImageSpec
from compare_gan.gans.step import train_step

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


def chosen():
    for i, architecture in enumerate(ARCHITECTURES):
        for j, method in enumerate(METHODS):
            for k, norm in enumerate(NORMS):
                every = os.environ.get("COMBINATIONS") == "all"
                in_turn = (i + j) % 2 == 0 and (i // 2 + j // 2 + k) % len(NORMS) == 0
                if (every or in_turn) and not makes_no_sense(norm, method):
                    yield architecture, norm, method


@pytest.mark.parametrize("architecture, norm, method", list(chosen()))
def test_a_step_has_finite_losses(architecture, norm, method):
    gan = combination(architecture, norm, method)()
    rng = np.random.RandomState(0)
    images = rng.uniform(size=(1, gan.batch_size, *gan.spec.image_shape)).astype(np.float32)
    labels = rng.randint(-1, CLASSES, size=(1, gan.batch_size))
    key = jax.random.key(0)
    state, metrics = jax.jit(lambda batch: train_step(gan, gan.init(key), batch, key))(Batch(images, labels))
    assert int(state.step) == 1
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.g.params))

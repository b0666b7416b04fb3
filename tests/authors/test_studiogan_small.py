"""Small parts compute what StudioGAN computed; `record_studiogan_small` recorded it."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.types import PenaltyInputs
from compare_gan.losses.standard import minimax
from compare_gan.penalties.gradient import maxgp_penalty
from compare_gan.tasks.minibatch_std import minibatch_std

CASE = dict(np.load(Path(__file__).parent / "cases" / "studiogan_small.npz"))


def test_the_largest_gradient_between_real_and_generated_images():
    real, fake, weight = (np.moveaxis(CASE[name], -3, -1) for name in ("real", "fake", "weight"))

    @dataclasses.dataclass(frozen=True)
    class Given(PenaltyInputs):
        def uniform(self, *shape):  # of the generated image; theirs is of the real one
            return 1 - CASE["alpha"].reshape(-1, *shape)

    inputs = Given(lambda x: jnp.tanh(x * weight).sum((1, 2, 3)), {}, real, fake, jax.random.key(0))
    assert float(maxgp_penalty(inputs)) == pytest.approx(float(CASE["maxgp"]), rel=1e-5)


def test_the_minimax_loss_of_the_discriminator():
    real, fake = CASE["logits"]
    pair = minimax(real, fake)
    assert float(pair.d) == pytest.approx(float(CASE["vanilla"]), rel=1e-6)
    assert float(pair.g) == pytest.approx(float(np.mean(np.log(1 - 1 / (1 + np.exp(-fake))))), rel=1e-5)


def test_minibatch_standard_deviation():
    """Their groups of 4 of 8 images are those at even and those at odd places, ours are neighbours."""
    order = np.arange(8).reshape(4, 2).T.ravel()
    np.testing.assert_allclose(minibatch_std(CASE["features"][order], 4), CASE["std"][order], rtol=1e-5)

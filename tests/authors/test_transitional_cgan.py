"""The transition to conditional training is that of the authors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.types import DiscriminatorOut, SideOutputs
from compare_gan.losses.standard import non_saturating
from compare_gan.tasks.transition import Transition

from .recording import CASES

THEIRS = np.load(CASES / "transitional_cgan.npz")


def test_strength():
    """Theirs begins and ends at a multiple of a step, so that it may differ by one."""
    start, end = 1000 * THEIRS["kimg"] / THEIRS["images"]
    task = Transition(steps=100, start=start / 100, end=end / 100)
    own = np.array([task.strength(step) for step in range(1, 1 + len(THEIRS["rise"]))])
    np.testing.assert_allclose(own, THEIRS["rise"], atol=1 / (end - start))
    assert own[0] == THEIRS["rise"][0] == 0 and own[-1] == THEIRS["rise"][-1] == 1


@pytest.mark.parametrize("case", range(3))
def test_gradients_of_both_players(case):
    task = Transition(100, 0.0, 1.0)
    y = jax.nn.one_hot(np.arange(6) % 3, 3)

    def losses(real, fake):
        sides = [
            SideOutputs(DiscriminatorOut(x[:, 0], jnp.zeros((6, 1)), {task.name: x[:, 1]}), None)
            for x in (real, fake)
        ]
        step = 100 * THEIRS["strengths"][case]
        pair, _ = task.adversarial_loss(non_saturating, *sides, y, y, step)
        return non_saturating(real[:, 0], fake[:, 0]) + pair

    given = THEIRS["real"], THEIRS["fake"]
    real, fake = jax.grad(lambda *x: losses(*x).d, (0, 1))(*given)
    np.testing.assert_allclose(real, THEIRS[f"Dmain_real_{case}"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fake, THEIRS[f"Dmain_fake_{case}"], rtol=1e-5, atol=1e-7)
    fake = jax.grad(lambda *x: losses(*x).g, 1)(*given)
    np.testing.assert_allclose(fake, THEIRS[f"Gmain_fake_{case}"], rtol=1e-5, atol=1e-7)

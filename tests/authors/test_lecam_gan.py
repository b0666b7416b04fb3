"""LeCam against its authors' code: averages, term and gradients over eight updates."""

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.types import Logits
from compare_gan.regularizers.lecam import LeCam
from tests.authors.recording import CASES

CASE = np.load(CASES / "lecam_gan.npz")
START, WEIGHT = 3, 0.3


def test_averages_term_and_gradients():
    lecam = LeCam(weight=WEIGHT, start_step=START)
    state = lecam.init()
    for step, (real_average, fake_average, term) in enumerate(CASE["rows"]):
        both = jnp.asarray(CASE["logits"][:, step])
        state = lecam.observe(state, Logits(*both, step))

        def loss(both, state=state, step=step):
            return lecam.loss(state, Logits(*both, step)).d

        np.testing.assert_allclose([state["real"], state["fake"]], [real_average, fake_average], rtol=1e-5)
        np.testing.assert_allclose(loss(both), term, rtol=1e-5)
        np.testing.assert_allclose(jax.grad(loss)(both), CASE["gradients"][:, step], atol=1e-6)
    assert term > 0 and not CASE["rows"][START, 2]

"""SSGAN-LA's views and losses against its authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.types import DiscriminatorOut, Labeled, SideOutputs
from compare_gan.tasks.label_augmentation import LabelAugmentation
from tests.authors.recording import CASES

CASE = np.load(CASES / "ssgan_la.npz")
IMAGES = len(CASE["images"])
WEIGHTS = {"ssgan_la": (1.0, 1.0), "ssgan_la_plus": (0.7, 0.3)}


def outputs(logits):
    out = DiscriminatorOut(
        jnp.zeros(len(logits)), jnp.zeros((len(logits), 1)), {"label_augmentation": logits}
    )
    return SideOutputs(
        *(jax.tree.map(lambda x, rows=rows: x[rows], out) for rows in (slice(IMAGES), slice(IMAGES, None)))
    )


def test_rotations():
    images = jnp.asarray(CASE["images"])
    task = LabelAugmentation(IMAGES)
    views = task.extra_views(Labeled(images, None), "real", None)
    np.testing.assert_array_equal(np.concatenate([images, views.images]), CASE["rotated"])
    np.testing.assert_array_equal(task.turns, CASE["turns"])


@pytest.mark.parametrize("multi_hinge", [False, True])
@pytest.mark.parametrize("loss", list(WEIGHTS))
def test_losses_and_their_gradients(loss, multi_hinge):
    task = LabelAugmentation(IMAGES, *WEIGHTS[loss], multi_hinge=multi_hinge)
    fake, real, generated = jnp.asarray(CASE["logits"])

    def losses(real, fake):
        return task.loss(outputs(real), outputs(fake), None, None)[0]

    expected = {
        name: CASE[f"{loss}/{multi_hinge}/{name}"] for name in ("d", "g", "real", "fake", "generated")
    }
    d, d_gradients = jax.value_and_grad(lambda r, f: losses(r, f).d, (0, 1))(real, fake)
    g, g_gradient = jax.value_and_grad(lambda f: losses(real, f).g)(generated)
    found = {"d": d, "g": g, "real": d_gradients[0], "fake": d_gradients[1], "generated": g_gradient}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)

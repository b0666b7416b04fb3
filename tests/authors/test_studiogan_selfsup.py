"""CR, bCR, zCR, InfoGAN's loss and top-k against StudioGAN's code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.types import DiscriminatorOut, Logits, Origin, SideOutputs
from compare_gan.gans.step import adversarial_loss
from compare_gan.losses.standard import hinge
from compare_gan.losses.top_k import TopK
from compare_gan.tasks.consistency import Consistency, cropped
from compare_gan.tasks.information import InfoGANCodes, MutualInformation
from compare_gan.tasks.latent_consistency import LatentConsistency
from tests.authors.recording import CASES
from tests.gans.tiny import tiny_gan

CASE = dict(np.load(CASES / "studiogan_selfsup.npz"))


def side(logits, of_views, origin=None):
    """Outputs with the recorded logits of these names."""
    return SideOutputs(
        *(DiscriminatorOut(jnp.asarray(CASE[name]), jnp.zeros(0), {}) for name in (logits, of_views)), origin
    )


def test_the_copies_of_cr():
    flipped = np.where(CASE["flips"][:, None, None, None] < 0.5, CASE["images"][:, :, ::-1], CASE["images"])
    corners = CASE["shifts"].T + np.array([16, 24]) // 8
    found = jax.vmap(cropped)(jnp.asarray(flipped), jnp.asarray(corners))
    np.testing.assert_array_equal(found, CASE["moved"])


@pytest.mark.parametrize(
    ("name", "weights"), [("cr", ("cr_lambda", None)), ("bcr", ("real_lambda", "fake_lambda"))]
)
def test_cr_and_bcr(name, weights):
    task = Consistency(*(0.0 if weight is None else float(CASE[weight]) for weight in weights))
    fake = side("fake", "fake_copy") if weights[1] else side("fake", "fake")._replace(task_views=None)
    pair, _ = task.loss(side("real", "real_copy"), fake, None, None)
    np.testing.assert_allclose(pair, [CASE[f"loss/{name}"], 0], rtol=1e-6)


def test_zcr():
    """Their images are in [-1, 1]."""
    task = LatentConsistency(d_weight=float(CASE["d_lambda"]), g_weight=float(CASE["g_lambda"]))
    images, others = ((jnp.asarray(CASE[name]) + 1) / 2 for name in ("fake_images", "fake_images_eps"))
    fake = side("fake", "eps", Origin(images=images, others={task.name: others}))
    pair, _ = task.loss(side("real", "real"), fake, None, None)
    np.testing.assert_allclose(pair, [CASE["loss/zcr_d"], CASE["loss/zcr_g"]], rtol=1e-5)


def test_information():
    """With a variance of 1, as in the code of InfoGAN's authors."""
    weights = (float(CASE[f"infoGAN_loss_{kind}_lambda"]) for kind in ("discrete", "conti"))
    task = MutualInformation(InfoGANCodes((4, 4), 3), *weights)
    predicted = jnp.concatenate([CASE["logits"], CASE["means"]], 1)
    one_hot = jax.nn.one_hot(CASE["classes"], 4).reshape(len(predicted), -1)
    z = jnp.concatenate([jnp.zeros((len(predicted), 5)), one_hot, CASE["values"]], 1)
    out = DiscriminatorOut(jnp.zeros(len(z)), jnp.zeros(0), {task.name: predicted})
    pair, _ = task.loss(SideOutputs(out, None), SideOutputs(out, None, Origin(z)), None, None)
    np.testing.assert_allclose(pair, [CASE["loss/information"]] * 2, rtol=1e-6)


def test_top_k_and_its_schedule():
    counts = CASE["counts"]
    top_k = TopK(interval=10, gamma=0.98, nu=0.4)
    scores = jnp.asarray(CASE["scores"])
    gan = tiny_gan(loss=hinge, generator_weights=top_k)
    for k in (64, 40, 25):
        epoch = int(np.argmax(counts == k))
        logits = Logits(jnp.zeros(64), scores, 10 * epoch + 9)
        loss, gradient = jax.value_and_grad(lambda f, x=logits: adversarial_loss(gan, x._replace(fake=f)).g)(
            scores
        )
        np.testing.assert_allclose(loss, CASE[f"top {k}"], rtol=1e-5)
        np.testing.assert_allclose(gradient, CASE[f"top {k} gradient"], rtol=1e-6)
    used = [int(np.sum(top_k(Logits(scores, scores, 10 * epoch)) > 0)) for epoch in range(len(counts))]
    np.testing.assert_array_equal(used, counts)

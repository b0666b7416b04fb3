"""APA against its authors' code: which images are shown as real, and how the share of these moves."""

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.augmentations.adaptive import APA
from compare_gan.core.types import Labeled
from compare_gan.gans.step import augmented, image_keys
from tests.authors.recording import CASES
from tests.authors.test_stylegan2_ada import follow
from tests.gans.tiny import tiny_gan

CASE = np.load(CASES / "deceived.npz")
P = 0.4


def test_images_shown_as_real(monkeypatch):
    """The same images are replaced; with labels, a generated image has that for which it was generated."""
    numbers = iter(CASE["drawn"])
    monkeypatch.setattr(jax.random, "bernoulli", lambda key, p: jnp.asarray(next(numbers)) < p)
    monkeypatch.setattr(jax, "vmap", lambda f: lambda keys: jnp.stack([f(key) for key in keys]))
    gan = tiny_gan(pseudo_augmentation=APA())
    real_y, fake_y = jnp.eye(8), jnp.eye(8)[::-1]
    keys = image_keys(gan, jax.random.key(0), "d")
    state = {"apa": {"p": jnp.float32(P)}}
    real, fake = Labeled(jnp.asarray(CASE["real"]), real_y), Labeled(jnp.asarray(CASE["fake"]), fake_y)
    shown, generated = augmented(gan, state, real, fake, keys)
    np.testing.assert_array_equal(shown.images, CASE["shown"])
    assert generated is fake
    replaced = (CASE["shown"] == CASE["fake"]).all((1, 2, 3))
    assert 0 < replaced.sum() < 8
    np.testing.assert_array_equal(shown.y, np.where(replaced[:, None], fake_y, real_y))


def test_the_share_follows_their_rule():
    found, expected = follow(APA(kimg=5.0), CASE)
    assert 0.2 < expected.max() < 0.8 and 0 in expected
    np.testing.assert_allclose(found, expected, atol=1e-6)

"""AugSelf's parameters and losses against its authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.augmentations.diffaugment import OPERATIONS, PARAMETERS
from compare_gan.core.augmentation import DIFFAUGMENT
from compare_gan.core.types import DiscriminatorOut, Origin, SideOutputs
from compare_gan.tasks.augself import AugSelf
from tests.authors.recording import CASES

CASE = np.load(CASES / "augself_gan.npz")
KEY = jax.random.key(0)


@pytest.fixture
def given(monkeypatch):
    """Puts numbers in the place of random ones."""

    def give(numbers):
        left = iter(numbers)
        for name in ("uniform", "randint"):
            monkeypatch.setattr(jax.random, name, lambda *_, **__: jnp.asarray(next(left)))

    return give


def test_parameters_are_scaled_as_theirs(given):
    """Our shifts have the opposite sign."""
    translations, centres = -CASE["integers"][:2], CASE["integers"][2:]
    for i, image in enumerate(CASE["images"]):
        draws = {"color": [CASE["colors"][:, i]], "translation": translations[:, i], "cutout": centres[:, i]}
        x = jnp.asarray(image)
        for name, numbers in draws.items():
            given(numbers)
            x = OPERATIONS[name](KEY, x)
            given(numbers)
            np.testing.assert_allclose(PARAMETERS[name](KEY, image.shape), CASE[name][i], atol=1e-6)
        np.testing.assert_allclose(x, CASE["augmented"][i], atol=1e-6)


def test_losses_and_their_gradients():
    task = AugSelf(d_weight=0.7, g_weight=0.3)
    ends = np.cumsum(list(DIFFAUGMENT.values()))[:-1]

    def side(predicted, parameters):
        zero = jnp.zeros_like(predicted)
        seen, before = (
            DiscriminatorOut(zero[:, 0], zero, {"augself": x, "augself_bias": zero})
            for x in (predicted, zero)
        )
        split = dict(zip(DIFFAUGMENT, jnp.split(jnp.asarray(parameters), ends, 1), strict=True))
        return SideOutputs(seen, before, Origin(augmentation=split))

    fake, real, generated = jnp.asarray(CASE["predictions"])
    of_fake, of_real = CASE["parameters"]

    def losses(real, fake):
        return task.loss(side(real, of_real), side(fake, of_fake), None, None)[0]

    d, (by_real, by_fake) = jax.value_and_grad(lambda r, f: losses(r, f).d, (0, 1))(real, fake)
    g, by_generated = jax.value_and_grad(lambda f: losses(real, f).g)(generated)
    np.testing.assert_allclose([d, g], CASE["losses"], rtol=1e-6)
    for found, name in ((by_real, "real"), (by_fake, "fake"), (by_generated, "generated")):
        np.testing.assert_allclose(found, CASE[name], rtol=1e-5, atol=1e-7, err_msg=name)

"""Every architecture with every norm and every method: a step of training, or one line that says no.

All combinations are slow tests, but for those that show each architecture, norm and method once.
"""

import itertools

import jax
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.core.types import Batch
from compare_gan.gans.step import train_step
from tests.helpers.combinations import CLASSES, METHODS, NORMS, combination
from tests.helpers.tiers import slow_unless

pytestmark = pytest.mark.usefixtures("shallow_resnet30")
ALL = list(itertools.product(ARCHITECTURES, NORMS, METHODS))
WITH_OWN_NORMS = ("infogan_arch", "resnet_biggan_arch", "resnet_biggan_deep_arch")  # all, or the last
WITHOUT_NORMS = ("r3gan_arch",)
LARGE = ("resnet30_arch", "resnet_biggan_deep_arch", "resnet5_arch", "resnet_stl_arch")


def is_refused(architecture, norm, method):
    """A norm by label where there are no labels; InfoGAN has its own norms, R3GAN none."""
    unlabelled = method in ("unconditional", "SSGAN")
    chooses = architecture not in ("infogan_arch", *WITHOUT_NORMS)
    return norm == "@conditional_batch_norm" and unlabelled and chooses


def on_the_diagonal(architecture, norm, method):
    """Of each small architecture each norm once and each method once; of the large ones one pair."""
    turn = (NORMS.index(norm) + list(METHODS).index(method) + list(ARCHITECTURES).index(architecture)) % 4
    return turn == 0 and (architecture not in LARGE or method == "S3GAN")


REFUSED = [case for case in ALL if is_refused(*case)]
BUILT = [case for case in ALL if not is_refused(*case)]


@pytest.mark.parametrize("architecture, norm, method", REFUSED)
def test_a_norm_by_label_without_labels_is_refused(architecture, norm, method):
    with pytest.raises(UserError, match="needs labels; set ModularGAN.conditional = True") as refused:
        combination(architecture, norm, method)()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("architecture, norm, method", slow_unless(on_the_diagonal, BUILT))
def test_all_others_are_built(architecture, norm, method):
    """The generator's norms keep moving averages, and no other layer does; two methods have a head."""
    gan = combination(architecture, norm, method)()
    state = jax.eval_shape(gan.init, jax.random.key(0))
    keys = {key.key for path, _ in jax.tree.leaves_with_path(state.g.extra) for key in path}
    normed = architecture not in WITHOUT_NORMS and (norm != "None" or architecture in WITH_OWN_NORMS)
    assert ("moving_mean" in keys) == normed
    assert ("rotation" in state.d.params.get("heads", {})) == (method in ("SSGAN", "S3GAN"))
    assert any(x.ndim == 4 for x in jax.tree.leaves(state.g.params))


def in_default_tier(architecture, norm, method):
    """The smallest architecture with the method of most losses."""
    return (architecture, norm, method) == ("resnet_small_arch", "@conditional_batch_norm", "S3GAN")


@pytest.mark.parametrize("architecture, norm, method", slow_unless(in_default_tier, BUILT))
def test_the_first_step_moves_weights_by_the_learning_rate(architecture, norm, method):
    gan = combination(architecture, norm, method)()
    rng = np.random.RandomState(0)
    images = rng.uniform(size=(1, gan.batch_size, *gan.spec.image_shape)).astype(np.float32)
    labels = rng.randint(-1, CLASSES, size=(1, gan.batch_size))
    before = jax.jit(gan.init)(jax.random.key(1))  # outside the step, whose compile time it would double
    step = jax.jit(lambda state, batch: train_step(gan, state, batch, jax.random.key(0)))
    after, metrics = step(before, Batch(images, labels))
    assert int(after.step) == int(before.step) + 1
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    # The first step of Adam is the learning rate times the sign of the gradient, whatever its size.
    for old, new, rate in (
        (before.g.params, after.g.params, gan.g_lr),
        (before.d.params, after.d.params, gan.d_lr or gan.g_lr),
    ):
        moved = [
            np.abs(np.float64(b) - np.float64(a))
            for a, b in zip(*map(jax.tree.leaves, (old, new)), strict=True)
        ]
        assert max(x.max() for x in moved) == pytest.approx(rate, rel=1e-2)
        assert all(np.isfinite(x).all() for x in moved)

"""Accumulated batch statistics: what they are, and the two ways to take them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.types import Cond
from compare_gan.gans.inference import sample
from compare_gan.gans.standing import BATCH_SIZE, with_standing_stats
from compare_gan.nn.options import Layers, StandardizeBatch, Weights
from compare_gan.nn.state import merge_module

from .tiny import tiny_gan

KEY = jax.random.key(0)
ACCUMULATED = Layers(Weights(stddev=0.5), StandardizeBatch(epsilon=1e-5, use_moving_averages=False))


def inputs_of_the_norm(gan, state, z):
    fc = state.g.params["fc"]
    return np.asarray(z @ fc["kernel"] + fc["bias"], np.float64).reshape(-1, 4, 4, 2)


def test_the_statistics_are_the_means_of_those_of_each_batch():
    seen = []

    def prior(rng, shape):
        z = jax.random.normal(rng, shape)
        jax.debug.callback(lambda z: seen.append(np.asarray(z)), z, ordered=True)
        return z

    gan = tiny_gan(layers=ACCUMULATED, prior=prior)
    state = gan.init(KEY)
    filled = with_standing_stats(gan, state, KEY, 3 * BATCH_SIZE - 1)
    jax.effects_barrier()
    x = [inputs_of_the_norm(gan, state, z) for z in seen]
    assert len(x) == 3
    found = filled.g.extra["norm"]["standardize"]
    assert found["accu_counter"] == 3
    np.testing.assert_allclose(found["accu_mean"], sum(b.mean((0, 1, 2)) for b in x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["accu_variance"], sum(b.var((0, 1, 2)) for b in x), rtol=1e-4)
    again = with_standing_stats(gan, filled, KEY, 3 * BATCH_SIZE)
    np.testing.assert_array_equal(again.g.extra["norm"]["standardize"]["accu_mean"], found["accu_mean"])


def test_images_are_those_of_training_once_the_statistics_are_there():
    gan = tiny_gan(layers=ACCUMULATED, g_spectral_norm=True, conditional=True)
    state = gan.init(KEY)
    z, y = gan.prior(KEY, (2000, 5)), jax.nn.one_hot(jnp.arange(2000) % 3, 3)
    in_training = merge_module(gan.g_def, state.g.params, state.g.extra)(Cond(z, y, True))
    empty = sample(gan, state, z, y)
    filled = with_standing_stats(gan, state, KEY, 100 * BATCH_SIZE)
    assert np.abs(in_training - sample(gan, filled, z, y)).max() < 0.02 < np.abs(in_training - empty).max()
    jax.tree.map(np.testing.assert_array_equal, filled.g.extra["fc"], state.g.extra["fc"])


def test_a_generator_with_moving_averages_is_left_alone():
    gan = tiny_gan()
    state = gan.init(KEY)
    assert with_standing_stats(gan, state, KEY) is state


@pytest.mark.parametrize("as_in_training", [False, True])
def test_each_batch_is_standardised_by_those_so_far_or_by_itself(as_in_training):
    """compare_gan's way: what a second norm sees depends on the batches that came before."""
    gan = tiny_gan(layers=ACCUMULATED)
    state = gan.init(KEY)
    z = [gan.prior(jax.random.fold_in(KEY, i), (BATCH_SIZE, 5)) for i in range(2)]

    def images(order):
        generator = merge_module(gan.g_def, state.g.params, state.g.extra)
        for i in order:
            last = generator(Cond(z[i], None, as_in_training, True))
        return np.asarray(last)

    same = np.abs(images([0, 1]) - images([1])).max() < 1e-6
    assert same == as_in_training

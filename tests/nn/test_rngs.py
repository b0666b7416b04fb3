"""Random streams of networks."""

import jax
import numpy as np
from flax import nnx

from compare_gan.nn.rngs import random_streams


def test_the_keys_are_those_of_flax_inside_and_outside_a_compiled_function():
    def keys(make, key):
        rngs = make(key)
        drawn = [
            rngs.params(),
            rngs.dropout(),
            rngs(),
            rngs.fork().params(),
            rngs.params.split(2).key[...][1],
        ]
        return [jax.random.key_data(key) for key in drawn]

    for seed in (jax.random.key(3), 5):
        expected = keys(nnx.Rngs, seed)
        np.testing.assert_array_equal(keys(random_streams, seed), expected)
    compiled = jax.jit(lambda key: keys(random_streams, key))(jax.random.key(3))
    np.testing.assert_array_equal(compiled, keys(nnx.Rngs, jax.random.key(3)))


def test_a_network_that_keeps_its_streams_draws_new_keys_in_each_pass():
    class Noise(nnx.Module):
        def __init__(self, rngs):
            self.rngs = rngs.noise.fork()

    definition, state = nnx.split(Noise(random_streams(0)))

    @jax.jit
    def draw(state):
        network = nnx.merge(definition, state)
        value = network.rngs.normal((3,))
        return value, nnx.state(network)

    first, state = draw(state)
    second, _ = draw(state)
    assert (first != second).all()

"""Convolutions that double or halve an image against the two operations one after the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.nn import kernels
from compare_gan.nn.convolution import convolve
from compare_gan.nn.rescale import average_pool, convolve_rescaled, repeat, smooth_down, smooth_up, unpool

SIDES = [(4, 6), (8, 8), (1, 2), (5, 4), (7, 7)]
PLAIN = {
    "up": lambda x, k: convolve(unpool(x), k),
    "repeat": lambda x, k: convolve(repeat(x), k),
    "down": lambda x, k: average_pool(convolve(x, k)),
    "none": convolve,
}


def close(ours, expected, relative=4e-6):
    expected = np.asarray(expected)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=relative * max(np.abs(expected).max(), 1.0))


def arrays(side, size):
    rng = np.random.RandomState(0)
    shapes = ((2, *side, 3), (*size, 3, 4))
    return tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)


@pytest.mark.parametrize("size", [(3, 3), (1, 1), (5, 2), (4, 3)])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("scale", PLAIN)
def test_values_and_gradients(scale, side, size):
    x, kernel = arrays(side, size)

    @functools.partial(jax.jit, static_argnums=0)
    def both(convolution, x, kernel):
        y, pull_back = jax.vjp(convolution, x, kernel)
        return y, *pull_back(jnp.sin(y))

    found = both(lambda x, k: convolve_rescaled(x, k, scale), x, kernel)
    for ours, expected in zip(found, both(PLAIN[scale], x, kernel), strict=True):
        close(ours, expected)


@pytest.mark.skipif(not kernels.has_tiles(jnp.bfloat16), reason="the processor or its kernels have no AMX")
@pytest.mark.parametrize("size", [(3, 3), (4, 3)])
@pytest.mark.parametrize("side", [(4, 6), (1, 2), (5, 4)])
@pytest.mark.parametrize("scale", ["repeat", "down"])
def test_bfloat16_by_sums_of_kernels(scale, side, size):
    """Against float64: errors are those of a few roundings."""
    x, kernel = (a.astype(jnp.bfloat16) for a in arrays(side, size))
    shape = jax.eval_shape(PLAIN[scale], x, kernel).shape
    dy = jnp.asarray(np.random.RandomState(1).standard_normal(shape), jnp.bfloat16)

    def all_three(convolution, x, kernel, dy):
        y, pull_back = jax.vjp(convolution, x, kernel)
        return y, *pull_back(dy)

    found = jax.jit(functools.partial(all_three, lambda x, k: convolve_rescaled(x, k, scale)))(x, kernel, dy)
    with jax.enable_x64(True), kernels.plain(True):
        wide = [jnp.asarray(np.asarray(a, np.float64)) for a in (x, kernel, dy)]
        expected = [np.asarray(a) for a in all_three(PLAIN[scale], *wide)]
    for ours, wanted in zip(found, expected, strict=True):
        assert ours.dtype == jnp.bfloat16
        off = np.abs(np.asarray(ours, np.float64) - wanted).max() / np.abs(wanted).max()
        assert off < 2**-7, off


@pytest.mark.parametrize("scale", ["up", "repeat", "down"])
def test_second_derivatives(scale):
    """As a gradient penalty takes them: the gradient of a gradient's squared length."""
    x, kernel = arrays((4, 6), (3, 3))

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(convolution, x, kernel):
        def penalty(x, kernel):
            return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(convolution(x, kernel))))(x) ** 2)

        return jax.grad(penalty, (0, 1))(x, kernel)

    found = gradients(lambda x, k: convolve_rescaled(x, k, scale), x, kernel)
    for ours, expected in zip(found, gradients(PLAIN[scale], x, kernel), strict=True):
        close(ours, expected, 1e-5)


@pytest.mark.parametrize("scale", ["up", "repeat", "down"])
def test_takes_fewer_products(scale):
    x, kernel = jnp.zeros((1, 16, 16, 32)), jnp.zeros((3, 3, 32, 32))

    def flops(function):
        with kernels.plain(True):  # XLA does not count what kernels do
            return jax.jit(function).lower(x, kernel).compile().cost_analysis()["flops"]

    assert flops(lambda x, k: convolve_rescaled(x, k, scale)) < 0.3 * flops(PLAIN[scale])


def test_smooth_rescaling_is_zero_insertion_and_a_filter():
    """By NumPy's convolution, along rows and then columns."""
    x = np.random.RandomState(0).standard_normal((2, 4, 6, 3)).astype(np.float32)

    def filtered(x, taps):
        for axis in (1, 2):
            x = np.apply_along_axis(np.convolve, axis, x, taps)
        return x

    up = filtered(np.asarray(unpool(x)), np.array([1, 3, 3, 1]) / 4)[:, 1:9, 1:13]
    close(smooth_up(x), up)
    down = filtered(x, np.array([1, 3, 3, 1]) / 8)[:, 2:-1:2, 2:-1:2]
    close(smooth_down(x), down)


def test_smooth_downsampling_is_a_quarter_of_the_transpose_of_upsampling():
    x, y = jnp.sin(jnp.arange(24.0)).reshape(1, 2, 4, 3), jnp.cos(jnp.arange(96.0)).reshape(1, 4, 8, 3)
    assert float(jnp.sum(smooth_up(x) * y)) == pytest.approx(4 * float(jnp.sum(x * smooth_down(y))), rel=1e-5)

"""3x3 convolutions by Winograd's products, against XLA's own and against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

from compare_gan.nn import convolution, kernels, winograd

ONE = ((1, 1), (1, 1))
ASKEW = ((0, 2), (2, 1))


@pytest.fixture(autouse=True)
def without_kernels():
    """Kernels of `compare_gan_cpu` would be used in place of what is tested here."""
    with kernels.plain(True):
        yield


def arrays(h, w, c_in, c_out, batch=2):
    rng = np.random.RandomState(0)
    shapes = (batch, h, w, c_in), (3, 3, c_in, c_out), (batch, h, w, c_out)
    return tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)


def native(x, kernel, padding=ONE):
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def largest_error(found, exact):
    return np.abs(np.asarray(found, np.float64) - exact).max() / np.abs(exact).max()


@pytest.mark.parametrize(
    ("h", "w", "padding"), [(6, 4, ONE), (2, 2, ONE), (8, 7, ASKEW), (4, 4, ((0, 0), (0, 0)))]
)
def test_values_and_kernel_gradients(h, w, padding):
    x, kernel, _ = arrays(h, w, 5, 3)
    expected, pull_back = jax.vjp(lambda k: native(x, k, padding), kernel)
    dy = jnp.cos(jnp.arange(expected.size, dtype=jnp.float32)).reshape(expected.shape)
    np.testing.assert_allclose(winograd.convolve(x, kernel, padding), expected, atol=2e-5)
    np.testing.assert_allclose(winograd.kernel_gradient(x, dy, padding), pull_back(dy)[0], atol=2e-5)


def test_rounding_is_about_that_of_the_plain_sum():
    x, kernel, dy = arrays(16, 16, 96, 96, batch=4)
    wide = np.lib.stride_tricks.sliding_window_view(
        np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), (1, 2)
    )  # [B, H, W, C, 3, 3]
    values = np.einsum("bhwcij,ijco->bhwo", wide, np.asarray(kernel, np.float64), optimize=True)
    gradient = np.einsum("bhwcij,bhwo->ijco", wide, np.asarray(dy, np.float64), optimize=True)
    plain = native(x, kernel), jax.vjp(lambda k: native(x, k), kernel)[1](dy)[0]
    ours = winograd.convolve(x, kernel, ONE), winograd.kernel_gradient(x, dy, ONE)
    for mine, theirs, exact in zip(ours, plain, (values, gradient), strict=True):
        assert largest_error(mine, exact) < 2e-6
        assert largest_error(mine, exact) < 4 * largest_error(theirs, exact)


def test_wide_layers_are_convolved_by_winograd():
    """Values, both gradients and those of a gradient penalty, inside a loop, as XLA's."""
    x, kernel, dy = arrays(6, 8, 96, 96)
    kernel = kernel / 30
    assert winograd.is_profitable(x, kernel.shape, ONE)

    def all_of(conv):
        def once(x):
            y, pull_back = jax.vjp(conv, x, kernel)

            def penalty(x, kernel):
                slope = jax.grad(lambda x: jnp.sum(jnp.sin(conv(conv(x, kernel), kernel))))(x)
                return jnp.mean(slope**2)

            return y, *pull_back(dy), *jax.grad(penalty, (0, 1))(x, kernel)

        return jax.jit(lambda x: lax.map(once, x[None]))(x)

    for mine, theirs in zip(all_of(convolution.convolve), all_of(native), strict=True):
        assert largest_error(mine, np.asarray(theirs, np.float64)) < 1e-5


def test_wide_layers_take_fewer_products():
    x, kernel, _ = arrays(16, 14, 96, 96, batch=4)

    def flops(conv):
        gradients = jax.jit(jax.grad(lambda x, k: jnp.sum(conv(x, k) ** 2), (0, 1)))
        return gradients.lower(x, kernel).compile().cost_analysis()["flops"]

    assert flops(convolution.convolve) < 0.6 * flops(native)


def test_gradients_of_a_kernel_gradient():
    x, _, dy = arrays(16, 14, 96, 96, batch=4)

    def total(x, dy, gradient):
        return jnp.sum(jnp.sin(gradient(x, dy) / 30))

    def plain(x, dy):
        return jax.vjp(lambda k: native(x, k), jnp.zeros((3, 3, 96, 96)))[1](dy)[0]

    ours = jax.grad(total, (0, 1))(x, dy, lambda x, dy: convolution.kernel_gradient(x, dy, (3, 3), 1))
    for mine, theirs in zip(ours, jax.grad(total, (0, 1))(x, dy, plain), strict=True):
        assert largest_error(mine, np.asarray(theirs, np.float64)) < 1e-5


@pytest.mark.parametrize(
    ("shape", "kernel", "dtype"),
    [
        ((4, 16, 15, 96), (3, 3, 96, 96), jnp.float32),  # an odd side
        ((4, 16, 16, 96), (1, 1, 96, 96), jnp.float32),
        ((4, 16, 16, 32), (3, 3, 32, 96), jnp.float32),  # few channels
        ((64, 4, 4, 512), (3, 3, 512, 512), jnp.float32),  # a kernel large beside an image
        ((4, 16, 16, 96), (3, 3, 96, 96), jnp.bfloat16),
    ],
)
def test_others_are_left_to_xla(shape, kernel, dtype):
    assert not winograd.is_profitable(jnp.zeros(shape, dtype), kernel, ONE)


def test_batches_of_any_size_can_be_exported():
    x, kernel, _ = arrays(8, 8, 96, 96, batch=3)
    shape = export.symbolic_shape("b, 8, 8, 96")
    free = jax.ShapeDtypeStruct(shape, jnp.float32)
    program = export.export(jax.jit(convolution.convolve), platforms=["cpu", "cuda", "tpu"])(free, kernel)
    direct = jax.jit(convolution.convolve)(x, kernel)
    np.testing.assert_array_equal(program.call(x, kernel), direct)
    assert largest_error(direct, np.asarray(native(x, kernel), np.float64)) < 1e-5


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_elsewhere_xla_convolves(platform):
    x, kernel, _ = arrays(16, 16, 96, 96, batch=4)
    traced = jax.jit(jax.grad(lambda x, k: jnp.sum(convolution.convolve(x, k) ** 2), (0, 1))).trace(x, kernel)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert text.count("stablehlo.convolution") == 3
    assert "dot_general" not in text

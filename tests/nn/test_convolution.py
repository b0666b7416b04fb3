"""Convolutions against SciPy in float64, and their gradients against JAX's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import signal

from compare_gan.nn import convolution, kernels
from compare_gan.nn.convolution import convolve, convolve_transpose, kernel_gradient

SHAPES = [
    # height, width, kernel height and width, stride
    (7, 6, 1, 2, 1),
    (6, 7, 3, 3, 1),
    (5, 8, 4, 5, 1),
    (8, 5, 1, 1, 2),
    (7, 6, 2, 3, 2),
    (8, 8, 4, 4, 2),
    (3, 8, 5, 4, 2),
    (2, 2, 3, 3, 1),
    (2, 3, 3, 5, 2),
]


def arrays(h, w, kh, kw, stride, seed=0):
    rng = np.random.RandomState(seed)
    x, kernel = rng.standard_normal((2, h, w, 3)), rng.standard_normal((kh, kw, 3, 4))
    dy = rng.standard_normal((2, -(-h // stride), -(-w // stride), 4))
    return tuple(jnp.asarray(a, jnp.float32) for a in (x, kernel, dy))


def native(x, kernel, stride):
    """What `jax.lax` calls "SAME", the definition as in TensorFlow."""
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def close(ours, expected, relative=2e-6):
    expected = np.asarray(expected)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=relative * max(np.abs(expected).max(), 1.0))


@pytest.mark.parametrize(("h", "w", "kh", "kw", "stride"), SHAPES)
def test_values_and_gradients(h, w, kh, kw, stride):
    x, kernel, dy = arrays(h, w, kh, kw, stride)
    padding = tuple(convolution.same_padding(n, k, stride) for n, k in ((h, kh), (w, kw)))
    gradient = dict(size=(kh, kw), stride=stride, padding=padding)

    @jax.jit
    def theirs():
        y, pull_back = jax.vjp(lambda x, k: native(x, k, stride), x, kernel)
        dx, dk = pull_back(dy)
        transpose, pull_back = jax.vjp(
            lambda y, k: jax.linear_transpose(lambda x: native(x, k, stride), x)(y)[0], dy, kernel
        )
        return y, dx, dk, transpose, *pull_back(x), dk, dk, dx

    @jax.jit
    def ours():
        y, pull_back = jax.vjp(lambda x, k: convolve(x, k, stride), x, kernel)
        dx, dk = pull_back(dy)
        transpose, pull_back = jax.vjp(lambda y, k: convolve_transpose(y, k, (h, w), stride), dy, kernel)
        products = convolution._kernel_gradient_products(x, dy, **gradient)
        as_elsewhere = convolution._kernel_gradient_native(x, dy, **gradient)
        return y, dx, dk, transpose, *pull_back(x), products, as_elsewhere, transpose

    found = ours()
    for mine, wanted in zip(found, theirs(), strict=True):
        close(mine, wanted, 4e-6)
    # <conv x, dy> = <x, transpose dy>
    assert np.vdot(found[0], dy) == pytest.approx(np.vdot(x, found[3]), rel=1e-4)
    close(kernel_gradient(x, dy, (kh, kw), stride), found[2], 4e-6)


@pytest.mark.parametrize(("c_in", "c_out"), [(3, 70), (70, 3), (20, 20), (70, 8)])
@pytest.mark.parametrize(("h", "w", "kh", "kw", "stride"), [SHAPES[1], SHAPES[2], SHAPES[4], SHAPES[5]])
def test_kernel_gradients_of_few_and_of_many_channels(h, w, kh, kw, stride, c_in, c_out):
    rng = np.random.RandomState(1)
    x = jnp.asarray(rng.standard_normal((2, h, w, c_in)), jnp.float32)
    dy = jnp.asarray(rng.standard_normal((2, -(-h // stride), -(-w // stride), c_out)), jnp.float32)

    @jax.jit
    def theirs(x, dy):
        return jax.vjp(lambda k: native(x, k, stride), jnp.zeros((kh, kw, c_in, c_out)))[1](dy)[0]

    close(jax.jit(kernel_gradient, static_argnums=(2, 3))(x, dy, (kh, kw), stride), theirs(x, dy), 4e-6)


@pytest.mark.parametrize(("h", "w", "kh", "kw", "stride"), [SHAPES[2], SHAPES[4], SHAPES[6]])
def test_values_are_those_of_scipy(h, w, kh, kw, stride):
    x, kernel, _ = (np.asarray(a, np.float64) for a in arrays(h, w, kh, kw, stride))
    pads = [
        max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in ((h, kh), (w, kw))
    ]  # the odd pixel after
    padded = np.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)))
    expected = np.stack(
        [
            [
                sum(signal.correlate2d(image[..., c], kernel[..., c, o], "valid") for c in range(3))
                for o in range(4)
            ]
            for image in padded
        ]
    )[:, :, ::stride, ::stride].transpose(0, 2, 3, 1)
    close(convolve(jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32), stride), expected)


@pytest.mark.parametrize(("kh", "kw", "stride"), [(3, 3, 1), (4, 3, 2)])
def test_second_derivatives(kh, kw, stride):
    """As a gradient penalty takes them: the gradient of a gradient's squared length."""
    x, kernel, _ = arrays(6, 7, kh, kw, stride)

    def penalty(conv, kernel, x):
        slope = jax.grad(lambda x: jnp.sum(jnp.sin(conv(conv(x, kernel) @ jnp.ones((4, 3)), kernel))))(x)
        return jnp.sum(slope**2)

    ours = functools.partial(penalty, lambda x, k: convolve(x, k, stride))
    theirs = functools.partial(penalty, lambda x, k: native(x, k, stride))
    found, wanted = jax.jit(lambda k, x: (jax.grad(ours, (0, 1))(k, x), jax.grad(theirs, (0, 1))(k, x)))(
        kernel, x
    )
    for mine, expected in zip(found, wanted, strict=True):
        close(mine, expected, 1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_inside_loops(stride):
    x, kernel, dy = arrays(6, 6, 3, 3, stride)

    def gradients(scale):
        return jax.vjp(lambda x, k: convolve(x, k, stride), scale * x, kernel)[1](dy)

    def add(i, total):
        return jax.tree.map(jnp.add, total, gradients(1.0 + i))

    @jax.jit
    def both():
        _, scanned = lax.scan(lambda c, s: (c, gradients(s)), 0, jnp.array([1.0, 2.0]))
        return scanned, lax.fori_loop(0, 2, add, (jnp.zeros_like(x), jnp.zeros_like(kernel)))

    outside = jax.jit(lambda: (gradients(1.0), gradients(2.0)))()
    scanned, total = both()
    for i in range(2):
        jax.tree.map(lambda a, b, i=i: close(a[i], b, 4e-6), scanned, outside[i])
    jax.tree.map(lambda t, a, b: close(t, a + b, 4e-6), total, *outside)


@pytest.mark.parametrize("stride", [1, 2])
def test_programs_for_one_platform_are_shorter_and_compute_the_same(stride):
    x, kernel, dy = arrays(6, 6, 3, 3, stride)

    def gradients(on_cpu):
        with convolution.on_cpu(on_cpu):
            traced = jax.jit(lambda x, k: jax.vjp(lambda x, k: convolve(x, k, stride), x, k)[1](dy))
            return str(jax.make_jaxpr(traced)(x, kernel)), traced(x, kernel)

    (everywhere, expected), (here, found), (elsewhere, other) = map(gradients, (None, True, False))
    assert "platform_index" in everywhere
    assert "platform_index" not in here + elsewhere
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    jax.tree.map(lambda a, b: close(a, b, 4e-6), other, expected)


def test_small_images_are_padded_explicitly_only_for_a_cpu():
    y, kernel = jnp.arange(24.0).reshape(2, 2, 2, 3), jnp.sin(jnp.arange(5 * 5 * 4 * 3.0)).reshape(5, 5, 4, 3)

    def transposed(on_cpu):
        with convolution.on_cpu(on_cpu), kernels.plain(True):
            run = functools.partial(convolve_transpose, size=(4, 4), stride=2)
            return str(jax.make_jaxpr(run)(y, kernel)), run(y, kernel)

    (here, found), (elsewhere, other) = map(transposed, (True, False))
    assert "optimization_barrier" in here and "optimization_barrier" not in elsewhere
    close(other, found)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_groups_are_those_of_xla(groups):
    x, kernel, _ = arrays(5, 4, 3, 3, 1)
    x = jnp.concatenate([x] * 12, -1)[..., :12] * jnp.arange(1, 13)
    kernel = jnp.sin(jnp.arange(9 * 12 // groups * 6.0)).reshape(3, 3, 12 // groups, 6)

    def native(x, kernel):
        names = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=names, feature_group_count=groups
        )

    @functools.partial(jax.jit, static_argnums=0)
    def results(convolution):
        def penalty(x, kernel):
            return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(convolution(x, kernel))))(x) ** 2)

        return convolution(x, kernel), jax.grad(penalty, (0, 1))(x, kernel)

    found = results(functools.partial(convolution.convolve_grouped, groups=groups))
    jax.tree.map(lambda a, b: close(a, b, 2e-5), found, results(native))


def test_same_padding_puts_the_odd_pixel_after():
    assert convolution.same_padding(28, 5, 2) == (1, 2)
    assert convolution.same_padding(7, 3, 1) == (1, 1)
    assert convolution.same_padding(8, 1, 2) == (0, 0)

"""Laws of layers, norms and initial weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Cond
from compare_gan.nn import norms
from compare_gan.nn.images import quarter_turns, random_shift
from compare_gan.nn.layers import LayerFactory, spectral_normalize
from compare_gan.nn.options import CondDims, Layers, SpectralNorm, StandardizeBatch, Weights
from compare_gan.nn.rescale import unpool
from compare_gan.nn.state import merge_module, net_state


def draw(seed, *shape):
    return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


def factory(layers=None, **options):
    return LayerFactory(layers or Layers(), nnx.Rngs(0), **options)


@pytest.mark.parametrize("side", ["left", "right"])
def test_spectral_norm_finds_the_largest_singular_value(side):
    kernel = draw(0, 3, 3, 4, 5)
    u = draw(1, *((36, 1) if side == "left" else (1, 5)))
    for _ in range(200):
        normalised, u = spectral_normalize(kernel, u, side, 1e-12)
    top = np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, 5), compute_uv=False)[0]
    np.testing.assert_allclose(normalised, kernel / top, rtol=1e-5, atol=1e-6)
    assert np.linalg.norm(u) == pytest.approx(1, abs=1e-6)


def test_spectral_vectors_move_in_training_only_and_the_kernel_stays():
    layer = factory(spectral_norm=True).conv(3, 4)
    kernel, u, x = layer.kernel[...], layer.u[...], draw(0, 2, 5, 5, 3)
    quiet = layer(x)
    np.testing.assert_array_equal(layer.u[...], u)
    np.testing.assert_array_equal(layer(x, train=True), quiet)
    assert np.abs(layer.u[...] - u).max() > 1e-3
    np.testing.assert_array_equal(layer.kernel[...], kernel)


@pytest.mark.parametrize(("rows", "columns", "expected"), [(3, 4, "left"), (4, 4, "left"), (5, 4, "right")])
def test_auto_keeps_the_shorter_vector(rows, columns, expected):
    assert SpectralNorm(singular_value="auto").side(rows, columns) == expected
    layers = Layers(spectral=SpectralNorm(singular_value="auto"))
    layer = factory(layers, spectral_norm=True).linear(rows, columns)
    assert layer.u[...].size == min(rows, columns)


@pytest.mark.parametrize(
    ("initializer", "deviation", "bound"),
    [("normal", 0.02, np.inf), ("truncated", 0.02 * 0.87962566, 0.04), ("orthogonal", None, 1.0)],
)
def test_initial_weights(initializer, deviation, bound):
    layers = Layers(weights=Weights(initializer))
    kernel = np.asarray(factory(layers).linear(200, 100).kernel[...], np.float64)
    assert np.abs(kernel).max() <= bound
    if deviation is None:
        np.testing.assert_allclose(kernel.T @ kernel, np.eye(100), atol=1e-5)
    else:
        error = deviation / np.sqrt(2 * kernel.size)
        assert kernel.std() == pytest.approx(deviation, abs=5 * error)
        assert abs(kernel.mean()) < 5 * deviation / np.sqrt(kernel.size)


def test_words_that_mean_nothing():
    with pytest.raises(UserError, match="use normal, truncated or orthogonal"):
        Weights("orthogonall")
    with pytest.raises(UserError, match="use left, right or auto"):
        SpectralNorm(singular_value="both")


def standardize(x, epsilon):
    x = np.asarray(x, np.float64)
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + epsilon)


@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 3, 3)])
def test_batch_norm(shape):
    layers = Layers(batch=StandardizeBatch(decay=0.75, epsilon=1e-2))
    norm = norms.batch_norm(factory(layers), 3)
    x = 3 * draw(0, *shape) + 2
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(norm(x, Cond(train=True)), standardize(x, 1e-2), atol=1e-5)
    mean, variance = 0.25 * np.mean(x, axes), 0.75 + 0.25 * np.var(x, axes)
    np.testing.assert_allclose(norm.standardize.moving_mean[...], mean, rtol=1e-5)
    np.testing.assert_allclose(norm.standardize.moving_variance[...], variance, rtol=1e-5)
    in_use = norm(x, Cond(train=False))
    np.testing.assert_allclose(in_use, (x - mean) / np.sqrt(variance + 1e-2), atol=1e-5)
    for i in range(len(x)):
        np.testing.assert_allclose(norm(x[i : i + 1], Cond(train=False)), in_use[i : i + 1], atol=1e-6)


def test_conditional_norms_have_a_scale_and_offset_for_each_image():
    x, y, z = draw(0, 4, 3, 3, 5), jax.nn.one_hot(jnp.array([0, 1, 0, -1]), 2), draw(1, 4, 6)
    base = standardize(x, 1e-3)
    by_label = norms.conditional_batch_norm(factory(dims=CondDims(0, 2)), 5)
    gamma, beta = (np.asarray(layer.kernel[...]) for layer in (by_label.gamma, by_label.beta))
    expected = base * (y @ gamma)[:, None, None] + (y @ beta)[:, None, None]
    found = by_label(x, Cond(None, y, True))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.any(found[3])

    by_z = norms.self_modulated_batch_norm(factory(dims=CondDims(6, 0)), 5)
    hidden = np.maximum(z @ by_z.hidden.kernel[...], 0)
    gamma, beta = hidden @ by_z.gamma.kernel[...] + 1, hidden @ by_z.beta.kernel[...]
    expected = base * gamma[:, None, None] + beta[:, None, None]
    np.testing.assert_allclose(by_z(x, Cond(z, None, True)), expected, atol=1e-5)


def test_norms_without_what_they_need():
    with pytest.raises(UserError, match="ModularGAN.conditional = True"):
        norms.conditional_batch_norm(factory(dims=CondDims(6, 0)), 5)
    with pytest.raises(UserError, match="G.batch_norm_fn only"):
        norms.self_modulated_batch_norm(factory(dims=CondDims(0, 2)), 5)
    assert norms.no_batch_norm(factory(dims=CondDims(6, 0)), 5) is None


def test_layer_norm_sees_one_image():
    norm, x = norms.LayerNorm(3), 2 * draw(0, 4, 5, 5, 3) + 1
    y = np.asarray(norm(x), np.float64)
    np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(norm(x[1:2]), y[1:2], atol=1e-6)


def test_unpool_keeps_values_at_the_top_left():
    x = draw(0, 2, 3, 4, 5)
    y = np.asarray(unpool(x))
    np.testing.assert_array_equal(y[:, ::2, ::2], x)
    assert np.count_nonzero(y) == x.size


def test_quarter_turns_go_counter_clockwise():
    x = np.array([[1, 2], [3, 4]], np.float32)[None, :, :, None]
    turned = np.asarray(quarter_turns(x))[..., 0].tolist()
    assert turned == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]


def test_random_shift_moves_by_at_most_the_given_pixels():
    x = draw(0, 30, 6, 5, 2)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), "edge")
    corners = []
    for image, shifted in zip(padded, np.asarray(random_shift(jax.random.key(0), x, 2)), strict=True):
        fits = [
            (i, j) for i in range(5) for j in range(5) if np.array_equal(image[i : i + 6, j : j + 5], shifted)
        ]
        assert fits
        corners += fits
    assert {0, 4} <= {i for i, _ in corners} and {0, 4} <= {j for _, j in corners}
    assert random_shift(jax.random.key(0), x, 0) is x


def test_a_bound_network_works_on_copies():
    layer = factory(spectral_norm=True).linear(3, 2)
    state, definition = net_state(layer), nnx.graphdef(layer)
    assert state.params.keys() == {"kernel", "bias"} and state.extra.keys() == {"u"}
    before = np.asarray(state.extra["u"]).copy()
    bound = merge_module(definition, state.params, state.extra)
    bound(draw(0, 4, 3), train=True)
    assert np.abs(net_state(bound).extra["u"] - before).max() > 1e-3
    np.testing.assert_array_equal(state.extra["u"], before)

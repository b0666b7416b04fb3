"""Non-local blocks against the same sums written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.nn.attention import NonLocalBlock, max_pool
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import Layers, SpectralNorm, Weights

KERNELS = ("theta", "phi", "g", "attn_g")
LAYERS = Layers(weights=Weights(stddev=0.5), spectral=SpectralNorm(singular_value="auto"))


def block(channels=16, spectral_norm=False, sigma=0.7):
    made = NonLocalBlock(LayerFactory(LAYERS, nnx.Rngs(0), spectral_norm), channels)
    made.sigma[...] = jnp.float32(sigma)
    return made


def draw(seed, *shape):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def written_out(made, x):
    """Position by position: [B, H, W, C], in double precision."""
    x = x.astype(np.float64)
    kernels = {name: np.asarray(getattr(made, name).kernel[...], np.float64)[0, 0] for name in KERNELS}
    theta, phi, g = (x @ kernels[name] for name in ("theta", "phi", "g"))
    b, h, w, _ = x.shape
    out = np.zeros_like(x)
    for image in range(b):
        squares = [(slice(i, i + 2), slice(j, j + 2)) for i in range(0, h, 2) for j in range(0, w, 2)]
        keys = np.stack([phi[image][square].max((0, 1)) for square in squares])
        values = np.stack([g[image][square].max((0, 1)) for square in squares])
        for i in range(h):
            for j in range(w):
                weights = np.exp(keys @ theta[image, i, j])
                out[image, i, j] = (weights @ values / weights.sum()) @ kernels["attn_g"]
    return x + float(made.sigma[...]) * out


@pytest.mark.parametrize("shape", [(2, 4, 4, 16), (1, 2, 6, 8)])
def test_it_is_the_softmax_of_queries_and_pooled_keys_over_pooled_values(shape):
    made, x = block(shape[-1]), draw(0, *shape)
    np.testing.assert_allclose(jax.jit(made)(x), written_out(made, x), atol=1e-5)


def test_it_begins_as_the_identity_and_learns_its_gate():
    made, x = block(sigma=0.0), draw(0, 2, 4, 4, 16)
    fresh = NonLocalBlock(LayerFactory(LAYERS, nnx.Rngs(0)), 16)
    assert (fresh.sigma[...], fresh.sigma[...].shape) == (0, ())
    np.testing.assert_array_equal(made(x), x)
    gradients = nnx.grad(lambda made: jnp.sum(made(x) ** 2))(made)
    assert abs(gradients["sigma"][...]) > 1e-3
    assert not np.abs(gradients["theta"]["kernel"][...]).max()


def test_kernels_have_no_bias_and_go_under_spectral_normalisation():
    made = block(16, spectral_norm=True)
    shapes = {name: getattr(made, name).kernel[...].shape for name in KERNELS}
    assert shapes == {
        "theta": (1, 1, 16, 2),
        "phi": (1, 1, 16, 2),
        "g": (1, 1, 16, 8),
        "attn_g": (1, 1, 8, 16),
    }
    assert all(getattr(made, name).bias is None for name in KERNELS)
    x = draw(0, 2, 4, 4, 16)
    before = {name: getattr(made, name).u[...] for name in KERNELS}
    made(x)
    assert all(np.array_equal(getattr(made, name).u[...], before[name]) for name in KERNELS)
    for _ in range(100):
        made(x, train=True)
    normalised = block(16)
    for name in KERNELS:
        kernel = np.asarray(getattr(made, name).kernel[...])
        getattr(normalised, name).kernel[...] = kernel / np.linalg.norm(kernel[0, 0], 2)
    np.testing.assert_allclose(made(x), normalised(x), atol=1e-4)


def test_few_channels_still_have_queries_and_keys():
    assert block(4)(draw(0, 1, 2, 2, 4)).shape == (1, 2, 2, 4)


def test_max_pool_takes_the_largest_of_each_square():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(max_pool(jnp.asarray(x))[0, :, :, 0], [[5, 7], [13, 15]])

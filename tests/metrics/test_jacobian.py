"""Conditioning of maps with a known derivative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.gans.inference import sample
from compare_gan.metrics.context import Generator
from compare_gan.metrics.jacobian import jacobians, metric_tensors, metric_tensors_of, spectrum
from tests.training.tiny import CONDITIONAL


def test_of_a_linear_map():
    matrix = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    found = jacobians(lambda z: (matrix @ z).reshape(2, 3, 2), jnp.zeros((3, 4)))
    np.testing.assert_allclose(found, np.tile(matrix, (3, 1, 1)), rtol=1e-6)
    s = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    eigenvalues, log_determinant, log_condition_number = spectrum(metric_tensors(found))
    np.testing.assert_allclose(eigenvalues, np.tile(s[::-1] ** 2, (3, 1)), rtol=1e-5)
    np.testing.assert_allclose(log_determinant, 2 * np.log(s).sum(), rtol=1e-5)
    np.testing.assert_allclose(log_condition_number, 2 * np.log(s[0] / s[-1]), rtol=1e-5)


def test_of_each_point_and_of_the_mean():
    """z -> z^2 stretches axis i by 2 z_i."""
    z = jnp.asarray([[1.0, 2.0], [3.0, 1.0]])
    tensors = metric_tensors(jacobians(lambda z: z**2, z))
    np.testing.assert_allclose(spectrum(tensors).log_condition_number, np.log([4, 9]), rtol=1e-6)
    mean = spectrum(tensors.mean(0, keepdims=True))
    np.testing.assert_allclose(mean.eigenvalues, [[10, 20]], rtol=1e-6)
    assert mean.log_determinant[0] == pytest.approx(np.log(200))


@pytest.fixture(scope="module")
def generator():
    gan = CONDITIONAL
    state = jax.jit(gan.init)(jax.random.key(0))
    return Generator(
        functools.partial(sample, gan),
        state,
        lambda rng, count: gan.prior(rng, (count, gan.z_dim)),
        gan.y_dim,
    )


def test_of_a_generator_by_finite_differences(generator):
    """Through all layers, with a label for each vector."""
    z, y = generator.inputs(jax.random.key(3), 4)
    run = jax.jit(lambda z: generator.apply(generator.state, z, y).reshape(4, -1))
    step, columns = 1e-2, []
    for i in range(z.shape[1]):
        ahead, behind = (np.asarray(run(z.at[:, i].add(sign * step)), np.float64) for sign in (1, -1))
        columns.append((ahead - behind) / (2 * step))
    expected = metric_tensors(np.stack(columns, axis=-1))
    found = metric_tensors_of(generator, jax.random.key(3), 4)
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.01 * np.abs(expected).max())


def test_results_do_not_depend_on_batching(generator, monkeypatch):
    expected = metric_tensors_of(generator, jax.random.key(3), 5)
    monkeypatch.setattr("compare_gan.metrics.jacobian.MAX_ELEMENTS", 2 * 8 * 8 * 3 * CONDITIONAL.z_dim)
    np.testing.assert_allclose(
        metric_tensors_of(generator, jax.random.key(3), 5), expected, rtol=1e-3, atol=1e-9
    )

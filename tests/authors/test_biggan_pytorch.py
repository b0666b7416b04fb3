"""Orthogonal regularization is that of BigGAN-PyTorch; `record_biggan_pytorch` recorded its gradients."""

import functools
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from compare_gan.core.types import PenaltyInputs
from compare_gan.gans.optimizers import orthogonal_regularization
from compare_gan.penalties.weights import orthogonal_penalty

CASE = dict(np.load(Path(__file__).parent / "cases" / "biggan_pytorch.npz"))
ORDER = {
    2: (1, 0),
    4: (2, 3, 1, 0),
}  # from the order of PyTorch's axes to ours, also of transposed convolutions


def case(name):
    return [
        {"layer": {"kernel": x.transpose(ORDER[x.ndim]), "bias": np.ones(3, np.float32)}}
        for x in (CASE[f"{name}/weight"], CASE[f"{name}/gradient"])
    ]


@pytest.mark.parametrize("name", ["linear", "conv", "grouped", "deconv"])
def test_gradients(name):
    params, expected = case(name)
    empty = np.zeros((1, 1, 1, 1), np.float32)

    def penalty(params):
        return 0.1 * orthogonal_penalty(PenaltyInputs(lambda x: x, params, empty, empty, jax.random.key(0)))

    found = jax.grad(penalty)(params)["layer"]
    np.testing.assert_allclose(found["kernel"], expected["layer"]["kernel"], rtol=1e-5, atol=1e-5)
    assert not found["bias"].any()
    make = functools.partial(orthogonal_regularization, optimizer_fn=optax.sgd, weight=0.1)
    tx = make(0.5)
    updates, _ = tx.update(jax.tree.map(np.ones_like, params), tx.init(params), params)
    np.testing.assert_allclose(updates["layer"]["kernel"], -0.5 * (1 + found["kernel"]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(updates["layer"]["bias"], -0.5)


def test_columns_that_are_orthogonal_cost_nothing():
    """Of any length, which is what the regularization leaves free."""
    columns = np.linalg.qr(np.random.RandomState(0).standard_normal((6, 4)))[0] * [1, 2, 3, 4]
    inputs = PenaltyInputs(lambda x: x, {"kernel": columns}, columns, columns, jax.random.key(0))
    assert float(orthogonal_penalty(inputs)) == pytest.approx(0, abs=1e-4)
    both = {"kernel": np.float32([[1, 1], [0, 2]])}  # the inner product of its columns is 1
    inputs = PenaltyInputs(lambda x: x, both, columns, columns, jax.random.key(0))
    assert float(orthogonal_penalty(inputs)) == pytest.approx(0.5 * 2)

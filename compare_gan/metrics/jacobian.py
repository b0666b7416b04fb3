"""How well conditioned a generator is: Odena et al., https://arxiv.org/abs/1802.08768.

Shape letters: B latent vectors, D latent dimensions, F outputs.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from compare_gan.core.types import Array


class Spectrum(NamedTuple):
    """What is told of metric tensors [B, D, D]."""

    eigenvalues: np.ndarray  # [B, D], ascending
    log_determinant: np.ndarray  # [B]
    log_condition_number: np.ndarray  # [B]


def jacobians(generator: Callable[[Array], Array], z: Array) -> np.ndarray:
    """Derivative [B, F, D] of all outputs, flattened, of a function of one vector [D], at each of [B, D]."""
    flat = jax.jacfwd(lambda one: generator(one).ravel())
    return np.asarray(jax.jit(jax.vmap(flat))(z))


def metric_tensors(jacobian: np.ndarray) -> np.ndarray:
    """J^T J, [B, F, D] -> [B, D, D], in double precision."""
    jacobian = jacobian.astype(np.float64)
    return jacobian.swapaxes(1, 2) @ jacobian


def spectrum(tensors: np.ndarray) -> Spectrum:
    """Of each of [B, D, D]; the mean tensor's is that of `tensors.mean(0, keepdims=True)`."""
    return Spectrum(
        np.linalg.eigvalsh(tensors), np.linalg.slogdet(tensors).logabsdet, np.log(np.linalg.cond(tensors))
    )

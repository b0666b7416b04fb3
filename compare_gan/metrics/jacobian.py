"""Jacobian conditioning of a generator: Odena et al., https://arxiv.org/abs/1802.08768.

Shape letters: B latent vectors, D latent dimensions, F outputs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.progress import Progress
from compare_gan.core.types import Array, Tree
from compare_gan.metrics.context import EvalContext, Generator, Scores, metric, require

NUM_VECTORS = 64  # one batch, as in compare_gan
MAX_ELEMENTS = 2**24  # of Jacobians in memory at once


class Spectrum(NamedTuple):
    """Spectral statistics of metric tensors [B, D, D]."""

    eigenvalues: np.ndarray  # [B, D], ascending
    log_determinant: np.ndarray  # [B]
    log_condition_number: np.ndarray  # [B]


def jacobians(generator: Callable[[Array], Array], z: Array) -> np.ndarray:
    """Jacobians [B, F, D] of a function of one vector [D] with flattened outputs [F], at each of [B, D]."""
    return np.asarray(jacobian_function(generator, (0,))(z))


def jacobian_function(function: Callable[..., Array], axes: tuple[int | None, ...]) -> Callable[..., Array]:
    """A compiled function for Jacobians with respect to the first argument.

    Our convolutions have a reverse derivative only. What it maps, u to J^T u, is linear, and its own reverse
    derivative maps v to J v: a pass for each latent dimension, and not for each of many more outputs.

    Args:
      function: a function of one vector [D] and further arguments.
      axes: vmap axes, one per argument: 0 for a batch, None for a shared argument.
    """

    def one_jacobian(z: Array, *rest: Any) -> Array:
        outputs, pull = jax.vjp(lambda z: function(z, *rest).ravel(), z)
        _, push = jax.vjp(lambda u: pull(u)[0], jnp.zeros_like(outputs))
        return jax.vmap(lambda v: push(v)[0], out_axes=1)(jnp.eye(len(z), dtype=z.dtype))

    return jax.jit(jax.vmap(one_jacobian, in_axes=axes))


def metric_tensors(jacobian: np.ndarray) -> np.ndarray:
    """J^T J, [B, F, D] -> [B, D, D], in double precision."""
    jacobian = jacobian.astype(np.float64)
    return jacobian.swapaxes(1, 2) @ jacobian


def spectrum(tensors: np.ndarray) -> Spectrum:
    """Spectral statistics of each of [B, D, D]."""
    return Spectrum(
        np.linalg.eigvalsh(tensors), np.linalg.slogdet(tensors).logabsdet, np.log(np.linalg.cond(tensors))
    )


def metric_tensors_of(generator: Generator, rng: Array, count: int = NUM_VECTORS) -> np.ndarray:
    """Metric tensors [count, D, D] of a generator at random latent vectors."""

    def image(z: Array, y: Array | None, state: Tree) -> Array:
        return generator.apply(state, z[None], None if y is None else y[None])

    z, y = generator.inputs(rng, count)
    outputs = jax.eval_shape(generator.apply, generator.state, z, y).size // count
    size = max(1, MAX_ELEMENTS // (outputs * z.shape[1]))
    program, found = jacobian_function(image, (0, 0, None)), []
    progress = Progress("jacobian_conditioning", count, unit="vectors", show_after_s=5.0)
    for start in range(0, count, size):
        inputs = jax.tree.map(lambda x, a=start: x[a : a + size], (z, y))
        found.append(metric_tensors(np.asarray(program(*inputs, generator.state))))
        progress.update(min(start + size, count), {})
    return np.concatenate(found)


@metric(
    "jacobian_conditioning",
    "log_condition_number_count",
    "log_condition_number_mean",
    "log_condition_number_std",
    needs={"generator"},
)
def jacobian_conditioning(ctx: EvalContext) -> Scores:
    """Mean and standard deviation of the log condition number over latent vectors."""
    tensors = metric_tensors_of(require(ctx.generator, "a generator"), jax.random.key(ctx.seed))
    found = spectrum(tensors).log_condition_number
    return {
        "log_condition_number_count": len(found),
        "log_condition_number_mean": float(found.mean()),
        "log_condition_number_std": float(found.std()),
    }

"""How well conditioned a generator is: Odena et al., https://arxiv.org/abs/1802.08768.

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

VECTORS = 64  # as many as compare_gan takes: a batch
NUMBERS = 2**24  # in a Jacobian that is held


class Spectrum(NamedTuple):
    """What is told of metric tensors [B, D, D]."""

    eigenvalues: np.ndarray  # [B, D], ascending
    log_determinant: np.ndarray  # [B]
    log_condition_number: np.ndarray  # [B]


def jacobians(generator: Callable[[Array], Array], z: Array) -> np.ndarray:
    """Derivative [B, F, D] of all outputs, flattened, of a function of one vector [D], at each of [B, D]."""
    return np.asarray(derivative(generator, (0,))(z))


def derivative(function: Callable[..., Array], axes: tuple[int | None, ...]) -> Callable[..., Array]:
    """The same as a program to be run on several batches. Only the first argument is differentiated by.

    Our convolutions have a reverse derivative only. What it maps, u to J^T u, is linear, and its own reverse
    derivative maps v to J v: a pass for each latent dimension, and not for each of many more outputs.

    Args:
      function: of one vector [D], and of other things.
      axes: 0 for each argument of which the program gets a batch; None where all share it.
    """

    def of_one(z: Array, *beside: Any) -> Array:
        outputs, pull = jax.vjp(lambda z: function(z, *beside).ravel(), z)
        _, push = jax.vjp(lambda u: pull(u)[0], jnp.zeros_like(outputs))
        return jax.vmap(lambda v: push(v)[0], out_axes=1)(jnp.eye(len(z), dtype=z.dtype))

    return jax.jit(jax.vmap(of_one, in_axes=axes))


def metric_tensors(jacobian: np.ndarray) -> np.ndarray:
    """J^T J, [B, F, D] -> [B, D, D], in double precision."""
    jacobian = jacobian.astype(np.float64)
    return jacobian.swapaxes(1, 2) @ jacobian


def spectrum(tensors: np.ndarray) -> Spectrum:
    """Of each of [B, D, D]; the mean tensor's is that of `tensors.mean(0, keepdims=True)`."""
    return Spectrum(
        np.linalg.eigvalsh(tensors), np.linalg.slogdet(tensors).logabsdet, np.log(np.linalg.cond(tensors))
    )


def tensors_of(generator: Generator, rng: Array, count: int = VECTORS) -> np.ndarray:
    """Metric tensors [count, D, D] of a generator at latent vectors drawn at random."""

    def image(z: Array, y: Array | None, state: Tree) -> Array:
        return generator.apply(state, z[None], None if y is None else y[None])

    z, y = generator.inputs(rng, count)
    outputs = jax.eval_shape(generator.apply, generator.state, z, y).size // count
    size = max(1, NUMBERS // (outputs * z.shape[1]))
    program, found = derivative(image, (0, 0, None)), []
    progress = Progress("jacobian_conditioning", count, unit="vectors", show_after_s=5.0)
    for start in range(0, count, size):
        given = jax.tree.map(lambda x, a=start: x[a : a + size], (z, y))
        found.append(metric_tensors(np.asarray(program(*given, generator.state))))
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
    """How the logarithm of the condition number is spread over latent vectors."""
    tensors = tensors_of(require(ctx.generator, "a generator"), jax.random.key(ctx.seed))
    found = spectrum(tensors).log_condition_number
    return {
        "log_condition_number_count": len(found),
        "log_condition_number_mean": float(found.mean()),
        "log_condition_number_std": float(found.std()),
    }

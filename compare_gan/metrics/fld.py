"""Feature Likelihood Divergence, FLD: Jiralerspong et al., https://arxiv.org/abs/2302.04440.

Shape letters: N, T samples, M centres of Gaussians, F features, B samples of a block.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from compare_gan.core.errors import UserError
from compare_gan.core.progress import Progress
from compare_gan.core.types import Array
from compare_gan.metrics.context import EvalContext, Scores, metric, require
from compare_gan.metrics.neighbours import nearest
from compare_gan.metrics.prdc import block_slices, squared_distances

# As in the authors' code.
CENTRES = 10_000  # maximum number of Gaussians
BATCH, EPOCHS, LEARNING_RATE = 10_000, 50, 0.5
FLAT, WINDOW = 5e-4, 5  # fitting ends when the last losses differ by less
BOUND = 40.0  # of the logarithms of variances
NEAREST = 1e-3  # added to squared distances to the nearest sample, for the first variances
SHRINK = 0.9  # of distances to the mean, for the additional Gaussian

CACHED = 2**27  # distances that are kept between epochs: half a GiB
MIN_IMAGES = 20


class Divergence(NamedTuple):
    """Differences of negative log-likelihoods, in units of 0.01 nat per feature."""

    fld: float  # of held-out samples, over those of a real baseline: 0 is perfect, lower is better
    gap: float  # of training samples minus held-out ones: far below 0 if training samples are copied


class Mixture(NamedTuple):
    """A mixture of Gaussians with a variance each and equal weights."""

    centres: np.ndarray  # [M, F]
    log_variances: Array  # [M]

    def negative_log_likelihood(self, samples: np.ndarray) -> float:
        """The mean over samples [T, F], divided by F."""
        total = 0.0
        for rows in block_slices(len(samples)):
            squares = squared_distances(samples[rows], self.centres).astype(np.float32)
            total += float(_log_likelihoods(self.log_variances, squares, samples.shape[1]).sum())
        return -total / len(samples) / samples.shape[1]


def divergence(
    train: np.ndarray, held_out: np.ndarray, generated: np.ndarray, baseline: float, seed: int = 0
) -> Divergence:
    """FLD and generalisation gap of generated samples.

    Each generated sample is the centre of a Gaussian, with the variance that makes the training samples most
    likely. Copies of training samples get tiny variances, which leave held-out samples unlikely.

    Args:
      train, held_out, generated: float64 [N, F], [T, F], [M, F], standardised, see `standardised`.
      baseline: see `real_baseline`.
      seed: of the order of the training samples.
    """
    mixture = fit(generated, train, seed)
    test = mixture.negative_log_likelihood(held_out)
    return Divergence(100 * (test - baseline), 100 * (mixture.negative_log_likelihood(train) - test))


def real_baseline(train: np.ndarray, held_out: np.ndarray, count: int, seed: int = 0) -> float:
    """The negative log-likelihood of held-out samples if training samples take the place of generated ones.

    At most half of the training samples, and at most `count`, are centres; the others are fitted.
    """
    train = train[np.random.default_rng(seed).permutation(len(train))]
    size = min(count, len(train) // 2)
    return fit(train[:size], train[size:], seed).negative_log_likelihood(held_out)


def fit(centres: np.ndarray, samples: np.ndarray, seed: int = 0) -> Mixture:
    """Fits the variances of Gaussians at `centres` [M, F] to samples [N, F], by maximum likelihood.

    While fitting there is one more Gaussian, at the mean of the samples; without it, samples that are far
    from all centres would dominate.
    """
    count, dim = samples.shape
    samples = samples[np.random.default_rng(seed).permutation(count)]
    to_mean = (SHRINK**2 * ((samples - samples.mean(0)) ** 2).sum(1)).astype(np.float32)
    first = nearest(centres, samples, 1).distances[:, 0] ** 2
    parameters = (jnp.asarray(np.log((first + NEAREST) / dim), jnp.float32), jnp.zeros(()))
    optimizer = optax.adam(LEARNING_RATE)
    state, losses = optimizer.init(parameters), list[float]()
    compute = functools.partial(_squares, samples, centres)
    squares_of = functools.cache(compute) if count * len(centres) <= CACHED else compute
    progress = Progress("fld", EPOCHS, unit="epochs", show_after_s=5.0)
    for epoch in range(EPOCHS):
        epoch_losses = []
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            total: tuple[Array, tuple[Array, Array]] = (
                jnp.zeros(()),
                jax.tree.map(jnp.zeros_like, parameters),
            )
            for rows in block_slices(size):
                begin, end = start + rows.start, start + rows.stop
                found = _loss_and_gradient(parameters, squares_of(begin, end), to_mean[begin:end], dim)
                total = jax.tree.map(jnp.add, total, found)
            loss, gradient = jax.tree.map(lambda x: x / size, total)  # noqa: B023  (called at once)
            updates, state = optimizer.update(gradient, state)
            log_variances, of_mean = optax.apply_updates(parameters, updates)
            parameters = (jnp.clip(log_variances, -BOUND, BOUND), of_mean)
            epoch_losses.append(float(loss))
        losses.append(float(np.mean(epoch_losses)))
        progress.update(epoch + 1, {})
        if epoch > WINDOW and np.abs(np.array(losses[-WINDOW:]) - losses[-1]).max() < FLAT:
            break
    return Mixture(centres, parameters[0])


def _squares(samples: np.ndarray, centres: np.ndarray, begin: int, end: int) -> np.ndarray:
    return squared_distances(samples[begin:end], centres).astype(np.float32)


def _log_densities(log_variances: Array, squares: Array, dim: int) -> Array:
    return -0.5 * (squares * jnp.exp(-log_variances) + dim * (log_variances + np.log(2 * np.pi)))


@functools.partial(jax.jit, static_argnums=2)
def _log_likelihoods(log_variances: Array, squares: Array, dim: int) -> Array:
    """[B] of samples with squared distances [B, M] to the centres."""
    densities = _log_densities(log_variances, squares, dim)
    return jax.scipy.special.logsumexp(densities, axis=1) - np.log(squares.shape[1])


@functools.partial(jax.jit, static_argnums=3)
@jax.value_and_grad
def _loss_and_gradient(parameters: tuple[Array, Array], squares: Array, to_mean: Array, dim: int) -> Array:
    """The sum of negative log-likelihoods over F, with the Gaussian at the mean; and its gradient."""
    log_variances, of_mean = parameters
    at_mean = _log_densities(of_mean, to_mean, dim)
    return -jnp.logaddexp(_log_likelihoods(log_variances, squares, dim), at_mean).sum() / dim


def standardised(held_out: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All sets [N, F] in float64, with mean 0 and variance 1 on the held-out one, which is the first.

    Features that are constant on it, such as units of a network that never fire, are left out.

    Raises:
      UserError: all features are constant.
    """
    mean, scale = held_out.mean(0, dtype=np.float64), held_out.std(0, dtype=np.float64, ddof=1)
    used = scale > 0
    if not used.any():
        raise UserError("FLD: all features of the held-out images are constant; choose another extractor")
    return [(points[:, used] - mean[used]) / scale[used] for points in (held_out, *others)]


@metric(
    "fld",
    "fld",
    "fld_held_out",
    "fld_gap",
    "fld_gap_held_out",
    needs={"features", "train"},
    min_images=MIN_IMAGES,
)
def fld(ctx: EvalContext) -> Scores:
    """FLD and gap of generated images; and of one half of the held-out images, measured on the other half."""
    rng = np.random.default_rng(ctx.seed)
    train = require(ctx.train, "training images").outputs.features
    held_out, train, generated = standardised(ctx.real.outputs.features, train, ctx.fake.outputs.features)
    if len(generated) > CENTRES:
        generated = generated[np.sort(rng.choice(len(generated), CENTRES, replace=False))]
    baseline = real_baseline(train, held_out, len(generated), ctx.seed)
    one, other = (held_out[part] for part in np.array_split(rng.permutation(len(held_out)), 2))
    ours = divergence(train, held_out, generated, baseline, ctx.seed)
    real = divergence(train, one, other, baseline, ctx.seed)
    return {
        "fld": ours.fld,
        "fld_held_out": real.fld,
        "fld_gap": ours.gap,
        "fld_gap_held_out": real.gap,
    }

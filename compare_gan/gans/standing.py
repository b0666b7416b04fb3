"""Standing statistics: batch statistics for evaluation, accumulated over generated batches.

They are used with `standardize_batch.use_moving_averages = False`, where training keeps no statistics for the
generator: Brock et al., https://arxiv.org/abs/1809.11096, appendix B.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.types import Array, Cond, GANState, NetState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import eval_params
from compare_gan.gans.sampling import random_labels
from compare_gan.gans.step import ShardFn
from compare_gan.nn.state import merge_module, net_state, replace_spectral_vectors

PREVIEW = 1024  # images whose statistics suffice for sample grids
BATCH_SIZE = 64


def with_standing_stats(
    gan: GAN,
    state: GANState,
    rng: Array,
    examples: int = STATISTICS_EXAMPLES,
    *,
    as_in_training: bool = False,
    shard: ShardFn = lambda x: x,
) -> GANState:
    """The state with standing statistics for its generator; unchanged if the generator needs none.

    As in compare_gan each batch is standardised by the statistics accumulated so far, so the result of deep
    layers depends on the order of the batches. With `as_in_training` a batch is standardised by its own
    statistics, as in training.

    Args:
      gan: the GAN.
      state: any state; existing standing statistics are discarded.
      rng: key of the latent vectors and labels.
      examples: number of generated images, rounded up to a multiple of the batch size.
      as_in_training: see above.
      shard: constrains the sharding of latent vectors and labels [B, ...].
    """
    if gan.layers.batch.use_moving_averages or not has_counters(state.g.extra):
        return state
    batches = -(-examples // BATCH_SIZE)
    run = jax.jit(functools.partial(accumulate_stats, gan, as_in_training, batches, shard))
    return dataclasses.replace(state, g=NetState(state.g.params, run(state, rng)))


def has_counters(extra: Tree) -> bool:
    """Whether a network has accumulated batch statistics."""
    return any(path[-1].key == "accu_counter" for path, _ in jax.tree.leaves_with_path(extra))


def accumulate_stats(
    gan: GAN, as_in_training: bool, batches: int, shard: ShardFn, state: GANState, rng: Array
) -> Tree:
    """The generator's non-trainable state with statistics over `batches` generated batches."""
    params = eval_params(state)

    def add(i: Array, extra: Tree) -> Tree:
        z_rng, y_rng = jax.random.split(jax.random.fold_in(rng, i))
        z = shard(gan.prior(z_rng, (BATCH_SIZE, gan.z_dim)))
        y = shard(random_labels(y_rng, BATCH_SIZE, gan.y_dim)) if gan.conditional else None
        generator = merge_module(gan.g_def, params, extra)
        generator(Cond(z, y, train=as_in_training, accumulate=True))
        return replace_spectral_vectors(state.g.extra, net_state(generator).extra)

    return jax.lax.fori_loop(0, batches, add, reset_stats(state.g.extra))


def reset_stats(extra: Tree) -> Tree:
    """Resets accumulated batch statistics to their initial values."""
    start = {"accu_mean": 0.0, "accu_variance": 0.0, "accu_counter": 1e-12}

    def reset(path: tuple, value: Array) -> Array:
        return jnp.full_like(value, start[path[-1].key]) if path[-1].key in start else value

    return jax.tree.map_with_path(reset, extra)

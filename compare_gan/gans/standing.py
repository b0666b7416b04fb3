"""Accumulated batch statistics, which stand for those of a batch outside training.

With `standardize_batch.use_moving_averages = False` training leaves the generator without statistics, and
they are taken from images that it generates for the purpose: the "standing statistics" of BigGAN,
Brock et al., https://arxiv.org/abs/1809.11096, appendix B.
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

PREVIEW = 1024  # enough for a picture
BATCH = 64


def with_standing_stats(
    gan: GAN,
    state: GANState,
    rng: Array,
    examples: int = STATISTICS_EXAMPLES,
    *,
    as_in_training: bool = False,
    spread: ShardFn = lambda x: x,
) -> GANState:
    """The state with its generator's statistics filled; itself where there are none to fill.

    As in compare_gan each batch is itself standardised by what was accumulated so far, so that deep
    layers see first a generator that is not the one it will be. With `as_in_training` it is
    standardised by its own statistics, as in training.

    Args:
      gan: the GAN.
      state: with statistics as training left them, or filled before; either way they are made anew.
      rng: of the latent vectors and labels.
      examples: how many images, rounded up to whole batches.
      as_in_training: see above.
      spread: applied to what is drawn, so that several devices share it.
    """
    if gan.layers.batch.use_moving_averages or not has_counters(state.g.extra):
        return state
    run = jax.jit(functools.partial(accumulate_stats, gan, as_in_training, -(-examples // BATCH), spread))
    return dataclasses.replace(state, g=NetState(state.g.params, run(state, rng)))


def has_counters(extra: Tree) -> bool:
    return any(path[-1].key == "accu_counter" for path, _ in jax.tree.leaves_with_path(extra))


def accumulate_stats(
    gan: GAN, as_in_training: bool, batches: int, spread: ShardFn, state: GANState, rng: Array
) -> Tree:
    params = eval_params(state)

    def add(i: Array, extra: Tree) -> Tree:
        z_rng, y_rng = jax.random.split(jax.random.fold_in(rng, i))
        z = spread(gan.prior(z_rng, (BATCH, gan.z_dim)))
        y = spread(random_labels(y_rng, BATCH, gan.y_dim)) if gan.conditional else None
        generator = merge_module(gan.g_def, params, extra)
        generator(Cond(z, y, train=as_in_training, accumulate=True))
        return replace_spectral_vectors(state.g.extra, net_state(generator).extra)

    return jax.lax.fori_loop(0, batches, add, reset_stats(state.g.extra))


def reset_stats(extra: Tree) -> Tree:
    """The statistics before the first batch."""
    start = {"accu_mean": 0.0, "accu_variance": 0.0, "accu_counter": 1e-12}

    def reset(path: tuple, value: Array) -> Array:
        return jnp.full_like(value, start[path[-1].key]) if path[-1].key in start else value

    return jax.tree.map_with_path(reset, extra)

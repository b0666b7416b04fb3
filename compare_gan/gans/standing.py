"""Standing statistics: batch statistics for evaluation, accumulated over generated batches.

They are used with `standardize_batch.use_moving_averages = False`, where training keeps no statistics for the
generator: Brock et al., https://arxiv.org/abs/1809.11096, appendix B.
"""

import dataclasses
import functools
import logging

import jax
import jax.numpy as jnp

from compare_gan.core.defaults import STATISTICS_EXAMPLES
from compare_gan.core.errors import UserError
from compare_gan.core.placement import Placement
from compare_gan.core.types import Array, Cond, GANState, NetState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import eval_params, inference_state
from compare_gan.gans.sampling import random_labels
from compare_gan.gans.step import ShardFn
from compare_gan.nn.state import merge_module, net_state, replace_spectral_vectors

STATISTICS_SEED = 0  # the same for samples, scores and exports, so that their images are equal
PREVIEW = 1024  # images whose statistics suffice for sample grids
BATCH_SIZE = 64
log = logging.getLogger(__name__)


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
    if not needs_statistics(gan, state):
        return state
    batches = -(-examples // BATCH_SIZE)
    run = jax.jit(functools.partial(accumulate_stats, gan, as_in_training, batches, shard))
    return dataclasses.replace(state, g=NetState(state.g.params, run(state, rng)))


def prepare_for_inference(gan: GAN, state: GANState, examples: int = STATISTICS_EXAMPLES) -> GANState:
    """The part of a state that generates images, replicated on all devices, with statistics for inference.

    Raises:
      UserError: `examples` is less than 1.
    """
    placement = Placement.create()
    state = placement.replicate(inference_state(state))
    return with_inference_stats(gan, state, examples, shard=placement.shard_batch)


def with_inference_stats(
    gan: GAN, state: GANState, examples: int = STATISTICS_EXAMPLES, *, shard: ShardFn = lambda x: x
) -> GANState:
    """`with_standing_stats` with the latent vectors and labels that samples, scores and exports use.

    Statistics that the state already has are kept; only imported models have them.

    Raises:
      UserError: `examples` is less than 1.
    """
    if examples < 1:
        raise UserError(f"statistics_examples is {examples}; it must be at least 1")
    if needs_statistics(gan, state):
        if has_statistics(state.g.extra):
            return state
        log.warning("accumulating batch statistics over %d generated images", examples)
    return with_standing_stats(gan, state, jax.random.key(STATISTICS_SEED), examples, shard=shard)


def describe_statistics(gan: GAN, state: GANState, examples: int) -> str:
    """The source of the generator's batch statistics for inference."""
    if needs_statistics(gan, state):
        return "imported" if has_statistics(state.g.extra) else f"accumulated over {examples}"
    moving = any(path[-1].key == "moving_mean" for path, _ in jax.tree.leaves_with_path(state.g.extra))
    return "moving averages" if moving else "none"


def needs_statistics(gan: GAN, state: GANState) -> bool:
    """Whether the generator needs accumulated batch statistics."""
    return not gan.layers.batch.use_moving_averages and has_counters(state.g.extra)


def has_counters(extra: Tree) -> bool:
    """Whether a network has accumulated batch statistics."""
    return any(path[-1].key == "accu_counter" for path, _ in jax.tree.leaves_with_path(extra))


def has_statistics(extra: Tree) -> bool:
    """Whether a network has accumulated batch statistics that are not empty."""
    counts = [x for path, x in jax.tree.leaves_with_path(extra) if path[-1].key == "accu_counter"]
    return bool(counts) and all(float(count) >= 1 for count in counts)


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
        generator(Cond(z, gan.generator_labels(y, state.step), train=as_in_training, accumulate=True))
        return replace_spectral_vectors(state.g.extra, net_state(generator).extra)

    return jax.lax.fori_loop(0, batches, add, reset_stats(state.g.extra))


def without_statistics(state: GANState) -> GANState:
    """The state without the accumulated statistics of an imported model, which training invalidates."""
    if not has_statistics(state.g.extra):
        return state
    return dataclasses.replace(state, g=NetState(state.g.params, reset_stats(state.g.extra)))


def reset_stats(extra: Tree) -> Tree:
    """Resets accumulated batch statistics to their initial values."""
    start = {"accu_mean": 0.0, "accu_variance": 0.0, "accu_counter": 1e-12}

    def reset(path: tuple, value: Array) -> Array:
        return jnp.full_like(value, start[path[-1].key]) if path[-1].key in start else value

    return jax.tree.map_with_path(reset, extra)

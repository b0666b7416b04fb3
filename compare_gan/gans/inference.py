"""Inference with a trained generator: its weights, and sampling.

Shape letters: B batch, H W C image, Z latent, K classes.
"""

import dataclasses

import jax

from compare_gan.core.types import Array, Cond, GANState, NetState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.nn.state import merge_module


def sample(gan: GAN, state: GANState, z: Array, y: Array | None = None) -> Array:
    """Generates images [B, H, W, C] in [0, 1] from z [B, Z] and labels [B, K], with `eval_params`."""
    return merge_module(gan.g_def, eval_params(state), state.g.extra)(Cond(z, y, train=False))


def eval_params(state: GANState) -> Tree:
    """The generator's weights for inference: the moving average if there is one."""
    return state.g.params if state.g_ema is None else state.g_ema


def inference_state(state: GANState) -> GANState:
    """The part of a state that `sample` and `with_standing_stats` use; all other fields are empty."""
    empty = NetState({}, {})
    g = NetState(eval_params(state), state.g.extra)
    return dataclasses.replace(state, g=g, d=empty, g_opt=(), d_opt=(), g_ema=None)


compiled_sample = jax.jit(sample, static_argnums=0)  # compiled once for all equal GANs

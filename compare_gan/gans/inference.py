"""Inference with a trained generator: its weights, and sampling.

Shape letters: B batch, H W C image, Z latent, K classes.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.placement import Placement
from compare_gan.core.sampler import Sampler
from compare_gan.core.types import Array, Cond, GANState, NetState, Tree
from compare_gan.gans.gan import GAN
from compare_gan.gans.sampling import describe_prior, latents
from compare_gan.nn.state import merge_module


def sample(gan: GAN, state: GANState, z: Array, y: Array | None = None) -> Array:
    """Generates images [B, H, W, C] in [0, 1] from z [B, Z] and labels [B, K], with `eval_params`."""
    y = gan.generator_labels(y, state.step)
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


def sampler_of(gan: GAN, state: GANState, class_names: Sequence[str] | None = None) -> Sampler:
    """The sampler of a state; batches are split over all devices.

    Args:
      gan: the GAN, with the prior of the latent vectors.
      state: see `gans.standing.prepare_for_inference`.
      class_names: of the data set; None: the classes are numbered.
    """
    placement = Placement.create()

    def generate(*inputs: Array) -> np.ndarray:
        images = compiled_sample(gan, state, *map(placement.split, inputs))
        return np.asarray(placement.gather(images))[: len(inputs[0])]

    names = [str(i) for i in range(gan.y_dim)] if class_names is None else class_names
    return Sampler(
        functools.partial(latents, gan.prior, gan.z_dim),
        generate,
        tuple(names) if gan.conditional else (),
        gan.spec.image_shape,
        describe_prior(gan.prior),
    )


@functools.partial(jax.jit, static_argnums=0)
def discriminator_features(gan: GAN, d: NetState, images: Array) -> Array:
    """Features [B, F] of uint8 images [B, H, W, C] from the discriminator `d`, without labels."""
    y = jnp.zeros((len(images), gan.y_dim)) if gan.conditional else None
    discriminator = merge_module(gan.d_def, d.params, d.extra)
    return discriminator(images.astype(jnp.float32) / 255, y, gan.tasks, train=False).features

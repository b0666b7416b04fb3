"""Blocks that are computed again for the gradient: the same step, and less that is kept."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.architectures import resnet_small
from compare_gan.core.types import Batch, ImageSpec
from compare_gan.gans.gan import GAN
from compare_gan.gans.optimizers import gradient_descent
from compare_gan.gans.step import generate, train_step
from compare_gan.nn import norms
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions
from compare_gan.penalties.gradient import wgangp_penalty
from compare_gan.penalties.weights import no_penalty
from tests.helpers.tiers import slow_unless

KEY = jax.random.key(0)


def residual(side: int, batch_size: int, **inputs) -> GAN:
    return GAN(
        spec=ImageSpec((side, side, 1), 3),
        make_generator=functools.partial(resnet_small.Generator, ch=4),
        make_discriminator=functools.partial(resnet_small.Discriminator, ch=4, project_y=True),
        conditional=True,
        g_options=GeneratorOptions(norms.conditional_batch_norm, spectral_norm=True),
        d_options=DiscriminatorOptions(spectral_norm=True),
        batch_size=batch_size,
        z_dim=5,
        **inputs,
    )


def program(gan: GAN):
    """A step, compiled; what it is compiled to matters here, not how fast it is."""
    images = jax.ShapeDtypeStruct((1, gan.batch_size, *gan.spec.image_shape), jnp.float32)
    data = Batch(images, jax.ShapeDtypeStruct((1, gan.batch_size), jnp.int32))
    step = jax.jit(functools.partial(train_step, gan), compiler_options={"xla_backend_optimization_level": 0})
    return step.lower(jax.eval_shape(gan.init, KEY), data, KEY).compile()


@pytest.mark.parametrize(
    "penalty", slow_unless(lambda penalty: penalty is no_penalty, [no_penalty, wgangp_penalty])
)
def test_a_step_is_the_same(penalty):
    gan = residual(8, 4, penalty=penalty, g_optimizer_fn=gradient_descent, g_lr=0.1)
    images = np.random.RandomState(0).uniform(size=(1, 4, 8, 8, 1)).astype(np.float32)
    inputs = (jax.jit(gan.init)(KEY), Batch(jnp.asarray(images), jnp.zeros((1, 4), jnp.int32)), KEY)
    (expected, _), (found, _) = (program(dataclasses.replace(gan, remat=r))(*inputs) for r in (False, True))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    start, end = inputs[0].g.params["fc_noise"]["kernel"], expected.g.params["fc_noise"]["kernel"]
    assert np.abs(start - end).max() > 0


def test_little_is_kept_for_the_gradient():
    """With remat only the input of a residual block is stored, not the activations of its layers."""

    def kept(gan: GAN) -> int:
        state = jax.eval_shape(gan.init, KEY)
        z, y = (jax.ShapeDtypeStruct((64, size), jnp.float32) for size in (gan.z_dim, gan.y_dim))

        def pull_back(g, z, y):
            return jax.vjp(lambda params: generate(gan, params, g.extra, z, y)[0], g.params)[1]

        return sum(x.size for x in jax.tree.leaves(jax.eval_shape(pull_back, state.g, z, y)))

    gan = residual(16, 64)
    assert kept(dataclasses.replace(gan, remat=True)) < 0.5 * kept(gan)

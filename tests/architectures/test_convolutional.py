"""SNDCGAN and InfoGAN: what their recorded numbers do not show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.architectures import infogan, sndcgan
from compare_gan.core.types import Cond, ImageSpec
from compare_gan.nn import norms
from compare_gan.nn.networks import NetSpec
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions
from compare_gan.nn.state import net_state

SPEC = ImageSpec((20, 31, 3))


def generator(module, norm=None, y_dim=0, **options):
    net = NetSpec(SPEC, 6, y_dim, GeneratorOptions(norm, **options))
    return module.Generator(net, ch=2, rngs=nnx.Rngs(0))


def discriminator(module, y_dim=0, **options):
    net = NetSpec(SPEC, 0, y_dim, DiscriminatorOptions(**options))
    return module.Discriminator(net, ch=2, rngs=nnx.Rngs(0))


def shapes(make):
    return jax.tree.map(jnp.shape, net_state(nnx.eval_shape(make)))


@pytest.mark.parametrize("module", [infogan, sndcgan])
def test_images_of_any_shape(module):
    images = jax.eval_shape(lambda z: generator(module)(Cond(z, None, True)), jnp.zeros((2, 6)))
    out = jax.eval_shape(lambda x: discriminator(module)(x, Cond(None, None, True)), images)
    assert images.shape == (2, 20, 31, 3)
    assert out.features.shape == (2, nnx.eval_shape(lambda: discriminator(module)).feature_dim)


@pytest.mark.parametrize("norm", [None, norms.conditional_batch_norm, norms.self_modulated_batch_norm])
def test_the_generator_of_infogan_has_plain_norms_whatever_is_asked_for(norm):
    plain = shapes(lambda: generator(infogan, norms.batch_norm))
    assert shapes(lambda: generator(infogan, norm, 5, spectral_norm=True)) == plain


def test_the_discriminator_of_sndcgan_has_no_norm_whatever_is_asked_for():
    plain = shapes(lambda: discriminator(sndcgan))
    assert shapes(lambda: discriminator(sndcgan, batch_norm_fn=norms.batch_norm, layer_norm=True)) == plain


def test_sndcgan_sees_a_mid_grey_image_as_zero():
    judge = jax.jit(lambda x: discriminator(sndcgan)(x, Cond()).features)
    assert not np.asarray(judge(jnp.full((1, 20, 31, 3), 0.5))).any()
    assert np.asarray(judge(jnp.full((1, 20, 31, 3), 0.6))).any()


def test_sndcgan_norms_each_output_of_its_linear_layer_by_itself():
    network = nnx.eval_shape(lambda: generator(sndcgan, norms.batch_norm))
    assert network.norms[0].gamma.shape == (3 * 4 * 16,)  # 20x31 halved three times, and eight times `ch`
    assert [norm.gamma.shape for norm in network.norms][1:] == [(8,), (4,), (2,)]


def test_spectral_norm_reaches_the_norms_of_the_generator_of_sndcgan_only():
    extra = shapes(lambda: generator(sndcgan, norms.self_modulated_batch_norm, spectral_norm=True)).extra
    assert list(extra) == ["norms"]
    assert all({"gamma", "beta", "hidden"} < norm.keys() for norm in extra["norms"].values())

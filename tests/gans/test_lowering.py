"""The step of every architecture and method lowers to a program for TPUs and GPUs, without having one.

A network with deconvolutions and the smallest are in the default tier.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import pytest
from jax import export

from compare_gan.core.registry import ARCHITECTURES
from compare_gan.core.types import Batch
from compare_gan.gans.step import train_step
from tests.helpers.combinations import METHODS, combination
from tests.helpers.tiers import slow_unless

pytestmark = pytest.mark.usefixtures("shallow_resnet30")
FAST = [("dcgan_arch", "SSGAN"), ("resnet_small_arch", "S3GAN")]
PAIRS = itertools.product(ARCHITECTURES, METHODS)


@pytest.mark.parametrize("architecture, method", slow_unless(lambda *pair: pair in FAST, PAIRS))
def test_the_step_lowers(architecture, method):
    """Every kernel takes part in a convolution forwards, and in one or more backwards."""
    labelled = method in ("conditional", "S3GAN")
    gan = combination(architecture, "@conditional_batch_norm" if labelled else "@batch_norm", method)()
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(gan.init, key)
    shape = (gan.sub_batches, gan.batch_size)
    batch = Batch(
        jax.ShapeDtypeStruct((*shape, *gan.spec.image_shape), jnp.uint8),
        jax.ShapeDtypeStruct(shape, jnp.int32),
    )
    step = jax.jit(functools.partial(train_step, gan), donate_argnums=0)
    lowered = export.export(step, platforms=["tpu", "cuda"])(state, batch, key)
    assert lowered.platforms == ("tpu", "cuda")
    kernels = sum(x.ndim == 4 for net in (state.g, state.d) for x in jax.tree.leaves(net.params))
    assert lowered.mlir_module().count("stablehlo.convolution") >= 2 * kernels
    after, metrics = jax.tree.unflatten(lowered.out_tree, lowered.out_avals)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert all(x.shape == () for x in metrics.values())

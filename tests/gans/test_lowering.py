"""The step of every architecture and method lowers to a program for TPUs and GPUs, without having one.

Each architecture but the two deepest with one method in turn; all others are slow tests.
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
from tests.tiers import slow_unless

from .test_combinations import METHODS, combination, shallow  # noqa: F401  (a fixture)


def in_default_tier(architecture, method):
    deepest = architecture in ("resnet30_arch", "resnet_biggan_deep_arch")
    return not deepest and list(METHODS)[list(ARCHITECTURES).index(architecture) % len(METHODS)] == method


PAIRS = itertools.product(ARCHITECTURES, METHODS)


@pytest.mark.parametrize("architecture, method", slow_unless(in_default_tier, PAIRS))
def test_the_step_lowers(architecture, method):
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
    assert lowered.platforms == ("tpu", "cuda") and "stablehlo.convolution" in lowered.mlir_module()

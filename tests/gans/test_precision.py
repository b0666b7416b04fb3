"""With bfloat16 all convolutions compute in it, and nothing that is kept or reported does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from compare_gan.core.errors import UserError
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.core.types import Batch
from compare_gan.gans.inference import sample
from compare_gan.gans.step import train_step
from compare_gan.nn.options import Precision
from tests.helpers.combinations import combination
from tests.helpers.tiers import slow_unless

pytestmark = pytest.mark.usefixtures("shallow_resnet30")
FAST = ("dcgan_arch", "resnet_small_arch", "resnet_biggan_arch")  # deconvolutions, blocks, attention
LABELLED = {"resnet_biggan_arch", "resnet_biggan_deep_arch", "resnet_cifar_arch"}


def gan_of(architecture):
    if architecture in LABELLED:
        return combination(architecture, "@conditional_batch_norm", "S3GAN")()
    return combination(architecture, "@self_modulated_batch_norm", "SSGAN")()


def halved(gan):
    layers = dataclasses.replace(gan.layers, precision=Precision("bfloat16"))
    return dataclasses.replace(gan, layers=layers)


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def batch_of(gan):
    shape = (gan.sub_batches, gan.batch_size)
    images = jax.ShapeDtypeStruct((*shape, *gan.spec.image_shape), jnp.uint8)
    return Batch(images, jax.ShapeDtypeStruct(shape, jnp.int32))


@pytest.mark.parametrize("architecture", slow_unless(lambda name: name in FAST, ARCHITECTURES))
def test_convolutions_compute_in_bfloat16_and_states_stay_float32(architecture):
    gan = halved(gan_of(architecture))
    state, key = jax.eval_shape(gan.init, jax.random.key(0)), jax.eval_shape(lambda: jax.random.key(0))
    closed, (after, metrics) = jax.make_jaxpr(functools.partial(train_step, gan), return_shape=True)(
        state, batch_of(gan), key
    )
    seen = {
        operand.aval.dtype.name
        for equation in equations(closed.jaxpr)
        if equation.primitive.name == "conv_general_dilated"
        for operand in equation.invars
    }
    assert seen == {"bfloat16"}
    kept = jax.tree.map(lambda x: x.dtype, state)
    assert jax.tree.map(lambda x: x.dtype, after) == kept
    assert {x.name for x in jax.tree.leaves(kept)} == {"float32", "int32"}
    assert all(value.dtype == jnp.float32 for value in metrics.values())


@pytest.mark.parametrize(
    "architecture",
    slow_unless(
        lambda name: name == "resnet_small_arch",
        ["resnet_small_arch", "resnet_cifar_arch", "resnet_biggan_arch"],
    ),
)
def test_the_step_in_bfloat16_is_that_in_float32_to_its_precision(architecture):
    gan = gan_of(architecture)
    state = gan.init(jax.random.key(0))
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (1, gan.batch_size, *gan.spec.image_shape)).astype(np.uint8)
    batch = Batch(images, rng.randint(0, 3, (1, gan.batch_size)))
    z = jax.random.normal(jax.random.key(1), (4, gan.z_dim))
    y = jax.nn.one_hot(jnp.arange(4) % 3, 3)

    @functools.partial(jax.jit, static_argnums=0)
    def both(gan, state):
        return train_step(gan, state, batch, jax.random.key(2))[1], sample(gan, state, z, y)

    (exact, pictures), (rounded, coarse) = both(gan, state), both(halved(gan), state)
    assert coarse.dtype == jnp.float32
    np.testing.assert_allclose(coarse, pictures, atol=0.01)
    assert float(jnp.abs(coarse - pictures).max()) > 0  # it is not float32 after all
    for name, value in exact.items():
        np.testing.assert_allclose(rounded[name], value, rtol=0.03, atol=0.03, err_msg=name)


@pytest.mark.parametrize(
    "architecture",
    slow_unless(lambda name: name == "resnet_small_arch", ["resnet_small_arch", "resnet_biggan_arch"]),
)
def test_the_step_in_bfloat16_lowers_for_accelerators(architecture):
    gan = halved(gan_of(architecture))
    key = jax.eval_shape(lambda: jax.random.key(0))
    step = jax.jit(functools.partial(train_step, gan))
    lowered = export.export(step, platforms=["tpu", "cuda"])(
        jax.eval_shape(gan.init, key), batch_of(gan), key
    )
    assert "xbf16>" in lowered.mlir_module()


def test_other_types_than_float32_and_bfloat16_are_refused():
    with pytest.raises(UserError, match="precision.compute is 'float16'; use float32 or bfloat16"):
        Precision("float16")

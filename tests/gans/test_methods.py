"""What SSGAN and S3GAN make of a GAN, and what they refuse."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compare_gan.architectures import resnet_small
from compare_gan.core.errors import UserError
from compare_gan.core.types import Cond, ImageSpec
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.sampling import normal, random_labels, uniform
from compare_gan.gans.ssgan import ssgan
from compare_gan.nn.options import CrossReplicaMoments, Layers
from compare_gan.tasks.projection import Projection
from compare_gan.tasks.rotation import Rotation

from .tiny import SPEC, tiny_gan


def test_ssgan():
    gan = ssgan(tiny_gan(), rotated_batch_size=16, weight_rotation_loss_g=0.5)
    assert gan.tasks == (Rotation(4, 1.0, 0.5),)
    assert gan.adversarial_weight == 1.0
    assert ssgan(tiny_gan(), rotated_batch_size=4, self_supervision="rotation_only").adversarial_weight == 0.0


def test_s3gan():
    base = tiny_gan(conditional=True)
    gan = s3gan(base, rotated_batch_fraction=2, project_y=True, use_predictor=True, weight_class_loss=2.0)
    assert gan.tasks == (Rotation(1), Projection(True, True, False, 2.0))
    assert dataclasses.replace(gan, tasks=()) == base
    for word in (None, "none"):
        assert s3gan(base, rotated_batch_fraction=3, self_supervision=word).tasks == ()


@pytest.mark.parametrize("size", [0, -4, 6, 36])
def test_ssgan_refuses_a_size_that_does_not_fit(size):
    with pytest.raises(UserError, match="multiple of 4, at most 32"):
        ssgan(tiny_gan(), rotated_batch_size=size)


@pytest.mark.parametrize("fraction", [3, 4, 8, 16])
def test_s3gan_refuses_a_fraction_that_does_not_fit(fraction):
    with pytest.raises(UserError, match="quotient must be a multiple of 4"):
        s3gan(tiny_gan(conditional=True), rotated_batch_fraction=fraction)


def test_words_and_labels():
    with pytest.raises(UserError, match="rotation_gan, rotation_only or none"):
        ssgan(tiny_gan(), rotated_batch_size=4, self_supervision="rotation")
    with pytest.raises(UserError, match="rotation or none"):
        s3gan(tiny_gan(conditional=True), rotated_batch_fraction=2, self_supervision="rotation_gan")
    with pytest.raises(UserError, match="ModularGAN.conditional = True"):
        s3gan(tiny_gan(), rotated_batch_fraction=2)
    with pytest.raises(UserError, match="no labels"):
        tiny_gan(conditional=True, spec=ImageSpec(SPEC.image_shape))
    with pytest.raises(UserError, match="S3GAN.project_y = True"):
        s3gan(tiny_gan(conditional=True), rotated_batch_fraction=2, use_predictor=True)
    with pytest.raises(UserError, match="needs ModularGAN.experimental_force_graph_unroll"):
        tiny_gan(experimental_joint_gen_for_disc=True)
    with pytest.raises(UserError, match="group_size is 3; it must divide the 4 devices"):
        layers = Layers(moments=CrossReplicaMoments(group_size=3))
        tiny_gan(layers=layers).with_replicas(4).validate()


def test_the_projections_of_network_and_head_are_added():
    """As in compare_gan, where the discriminator of resnet_biggan has one by default, and S3GAN another."""
    base = tiny_gan(conditional=True, spec=ImageSpec((8, 8, 1), 3))
    projecting = functools.partial(resnet_small.Discriminator, ch=2, project_y=True)
    base = dataclasses.replace(base, make_discriminator=projecting)
    gan = s3gan(base, rotated_batch_fraction=2, project_y=True)
    d, y = gan.discriminator(nnx.Rngs(0)), jnp.eye(3)
    images = jnp.asarray(np.random.default_rng(0).random((3, 8, 8, 1)), jnp.float32)
    own = d.backbone(images, Cond(y=y))
    both = d(images, y, gan.tasks, train=False)
    rows = np.asarray(d.heads["class"].projection(y, train=False))  # the embeddings of the classes
    expected = own.logits + (rows * np.asarray(own.features)).sum(1)
    np.testing.assert_allclose(both.logits, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(both.logits - own.logits).min() > 0
    with pytest.raises(UserError, match="projected twice, by Projection and Projection; use one"):
        tiny_gan(conditional=True, tasks=(Projection(), Projection(name="again"))).validate()


@pytest.mark.parametrize("name", ["z_dim", "batch_size", "disc_iters"])
def test_numbers_below_one(name):
    with pytest.raises(UserError, match=f"options.{name} is 0"):
        tiny_gan(**{name: 0})


def test_priors():
    z = np.asarray(uniform(jax.random.key(0), (4000,), -2.0, 3.0))
    assert -2 <= z.min() < -1.99 and 2.99 < z.max() < 3
    assert z.mean() == pytest.approx(0.5, abs=5 * 5 / np.sqrt(12 * 4000))
    z = np.asarray(normal(jax.random.key(0), (4000,), 2.0))
    assert z.std() == pytest.approx(2, abs=5 * 2 / np.sqrt(8000))
    assert jnp.all(random_labels(jax.random.key(0), 7, 3).sum(1) == 1)

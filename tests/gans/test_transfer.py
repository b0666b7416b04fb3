"""Weights of one GAN as the start of another."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.architectures import resnet_biggan, resnet_small
from compare_gan.core.errors import UserError
from compare_gan.core.types import ImageSpec
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import sample
from compare_gan.gans.transfer import NamedGAN, Transfer
from compare_gan.nn import norms
from compare_gan.nn.options import DiscriminatorOptions, GeneratorOptions
from compare_gan.tasks.projection import Projection
from compare_gan.tasks.rotation import Rotation

from .tiny import SPEC, batch, random_state, tiny_gan

NORM = functools.partial(norms.conditional_batch_norm, gamma_offset=1.0)
THREE, TWO = ("cat", "dog", "owl"), ("owl", "fox")


def conditional(classes=THREE, **more):
    spec = ImageSpec(SPEC.image_shape, len(classes))
    fields = dict(g_norm=NORM, conditional=True, tasks=(Projection(use_predictor=True),), g_use_ema=True)
    return NamedGAN(tiny_gan(spec=spec, **fields | more), classes)


def unconditional(**more):
    return NamedGAN(tiny_gan(g_use_ema=True, **more), ())


def host(state):
    return jax.tree.map(np.asarray, state)


def transferred(source, target):
    old, fresh = random_state(source.gan), host(target.gan.init(jax.random.key(1)))
    plan = Transfer.plan(source, target)
    return old, fresh, plan.apply(old, fresh), plan.describe()


def images(named, state, labels=None, ema=False):
    z = np.asarray(batch(3).images).reshape(8, -1)[:, :5]
    y = None if labels is None else jax.nn.one_hot(jnp.asarray(labels), len(named.classes))
    state = state if ema else dataclasses.replace(state, g_ema=None)
    return np.asarray(sample(named.gan, state, z, y))


def equal(one, other):
    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def test_the_same_gan_gets_all_weights_and_fresh_optimisers():
    source = conditional()
    old, fresh, new, line = transferred(source, source)
    equal((new.g, new.d, new.g_ema), (old.g, old.d, old.g_ema))
    equal((new.step, new.g_opt, new.d_opt), (fresh.step, fresh.g_opt, fresh.d_opt))
    assert line == "19 of 19 arrays as they are"
    without = NamedGAN(dataclasses.replace(source.gan, g_use_ema=False), source.classes)
    equal(transferred(without, source)[2].g_ema, random_state(without.gan).g.params)
    assert transferred(source, without)[2].g_ema is None


def test_classes_are_found_by_name_and_others_start_at_the_mean():
    old, _, new, line = transferred(conditional(THREE), conditional(TWO))
    heads = [state.d.params["heads"]["class"] for state in (old, new)]
    for before, after, axis in (
        (old.g.params["norm"]["gamma"]["kernel"], new.g.params["norm"]["gamma"]["kernel"], 0),
        (old.g_ema["norm"]["beta"]["kernel"], new.g_ema["norm"]["beta"]["kernel"], 0),
        (*(head["projection"]["kernel"] for head in heads), 0),
        (*(head["predictor"]["kernel"] for head in heads), 1),
        (*(head["predictor"]["bias"] for head in heads), 0),
    ):
        expected = np.stack([np.take(before, 2, axis), before.mean(axis)], axis)
        np.testing.assert_allclose(after, expected, rtol=1e-6)
    equal(new.g.params["fc"], old.g.params["fc"])
    equal(new.d.params["backbone"], old.d.params["backbone"])
    assert "fitted to other classes: generator norm/beta/kernel, generator norm/gamma/kernel" in line
    renamed = transferred(conditional(THREE), conditional(("owl", "cat", "dog")))[2]
    kernel = old.g.params["norm"]["gamma"]["kernel"]
    np.testing.assert_array_equal(renamed.g.params["norm"]["gamma"]["kernel"], kernel[[2, 0, 1]])


def test_every_class_starts_with_the_images_of_an_unconditional_gan():
    source, target = unconditional(), conditional(TWO, tasks=())
    old, _, new, _ = transferred(source, target)
    for label in range(2):
        for ema in (False, True):
            np.testing.assert_allclose(
                images(target, new, [label] * 8, ema), images(source, old, None, ema), rtol=1e-5, atol=1e-6
            )


def test_an_unconditional_gan_starts_with_the_mean_of_all_classes():
    source, target = conditional(tasks=()), unconditional()
    old, _, new, _ = transferred(source, target)
    norm = old.g.params["norm"]
    np.testing.assert_allclose(new.g.params["norm"]["gamma"], 1 + norm["gamma"]["kernel"].mean(0), rtol=1e-6)
    np.testing.assert_allclose(new.g.params["norm"]["beta"], norm["beta"]["kernel"].mean(0), rtol=1e-6)


def test_other_heads_are_newly_initialised():
    source, target = unconditional(), unconditional(tasks=(Rotation(2),))
    old, fresh, new, line = transferred(source, target)
    equal(new.d.params["heads"], fresh.d.params["heads"])
    equal(new.d.params["backbone"], old.d.params["backbone"])
    assert "newly initialised: discriminator heads/rotation/bias, discriminator heads/rotation/kernel" in line


def test_latent_parts_of_a_conditional_norm_are_kept():
    """A norm of BigGAN is conditioned by a part of z and the embedded label, which has no classes itself."""

    def biggan(classes, embed_y):
        gan = GAN(
            spec=ImageSpec((32, 32, 3), classes),
            make_generator=functools.partial(resnet_biggan.Generator, ch=4, embed_y=embed_y, embed_y_dim=6),
            make_discriminator=functools.partial(resnet_biggan.Discriminator, ch=4),
            z_dim=20,
            conditional=True,
            g_options=GeneratorOptions(NORM),
        )
        return NamedGAN(gan, tuple(map(str, range(classes))))

    embedded = Transfer.plan(biggan(3, True), biggan(5, True)).g.how
    assert {name for name, how in embedded.items() if how != "taken"} == {"embed_y/kernel"}
    source, target = biggan(3, False), biggan(5, False)
    plan = Transfer.plan(source, target)
    assert {how for name, how in plan.g.how.items() if name.endswith("gamma/kernel")} == {"classes"}
    old, fresh = random_state(source.gan), random_state(target.gan)
    kernels = [
        state.g.params["blocks"][0]["bn1"]["gamma"]["kernel"] for state in (old, plan.apply(old, fresh))
    ]
    assert [len(kernel) for kernel in kernels] == [5 + 3, 5 + 5]
    np.testing.assert_array_equal(kernels[1][:8], kernels[0])
    np.testing.assert_allclose(kernels[1][8:], np.stack([kernels[0][5:].mean(0)] * 2), rtol=1e-6)


def test_other_shapes_and_architectures_are_refused():
    source = unconditional()
    larger = dataclasses.replace(source.gan, spec=ImageSpec((8, 8, 1), 3))
    small = GAN(
        spec=SPEC, make_generator=resnet_small.Generator, make_discriminator=resnet_small.Discriminator
    )
    wider = dataclasses.replace(source.gan, z_dim=6)
    for gan, message in (
        (larger, "its images are 4x4x1, and here 8x8x1"),
        (small, "its architecture has tiny.Generator, and here resnet_small.Generator"),
        (wider, r"its array fc/kernel is \[5, 32\], and here \[6, 32\]"),
    ):
        with pytest.raises(UserError, match=message):
            Transfer.plan(source, NamedGAN(gan, ()))


def test_conditional_scales_under_spectral_normalisation_are_newly_initialised():
    """They cannot have the scale of another norm."""
    target = conditional(tasks=(), g_spectral_norm=True)
    how = Transfer.plan(unconditional(g_spectral_norm=True), target).g.how
    assert how["norm/gamma/kernel"] == how["norm/gamma/u"] == "new" and how["conv/kernel"] == "taken"
    assert target.gan.d_options == DiscriminatorOptions(spectral_norm=True)

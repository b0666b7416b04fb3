"""Augmentation, adaptive probabilities and regularizers in the step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compare_gan.augmentations.adaptive import ADA, APA
from compare_gan.augmentations.augment_pipe import AugmentPipe, Change
from compare_gan.augmentations.diffaugment import DiffAugment
from compare_gan.augmentations.scheduled import ScheduledProbability
from compare_gan.core.errors import UserError
from compare_gan.core.types import Labeled, Logits, PenaltyInputs
from compare_gan.gans.schedules import cosine_annealing
from compare_gan.gans.step import augmented, both_losses, image_keys, train_step
from compare_gan.losses.relativistic import relativistic
from compare_gan.losses.standard import hinge, wasserstein
from compare_gan.nn.options import Layers
from compare_gan.penalties.gradient import r1_penalty, r1_r2_penalty, r2_penalty
from compare_gan.regularizers.lecam import LeCam
from compare_gan.tasks.consistency import Consistency

from .tiny import SPEC, batch, tiny_gan

KEY = jax.random.key(0)
FULL = DiffAugment("color,translation,cutout")


def brighter(key, image, p):
    """An augmentation that takes no time to compile."""
    return 0.5 * image + 0.25


def close(found, expected, tolerance):
    for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=jax.tree_util.keystr(path))


def everything(augment, **more):
    return tiny_gan(
        loss=hinge,
        g_optimizer_fn=optax.sgd,  # Adam makes much of a gradient that is zero but for rounding
        augment=augment,
        augment_probability=ADA(kimg=0.05, interval=1),
        pseudo_augmentation=APA(kimg=0.05, interval=2, target=-0.9),
        regularizers=(LeCam(weight=0.0, start_step=1),),  # its averages in the loss are of a microbatch
        tasks=(Consistency(10.0, 10.0),),
        **more,
    )


@pytest.mark.parametrize("augment", [FULL, pytest.param(AugmentPipe(), marks=pytest.mark.slow)])
def test_microbatches_change_nothing_but_the_order_of_sums(augment):
    """The images are augmented alike, and the states of adaptive parts follow the whole batch."""
    whole, parts = (  # without batch statistics
        everything(augment, g_norm=None, gradient_accumulation=n) for n in (1, 2)
    )
    results = []
    for gan in (whole, parts):
        state, step = gan.init(KEY), jax.jit(functools.partial(train_step, gan))
        for i in range(3):
            state, metrics = step(state, batch(i), jax.random.fold_in(KEY, i))
        results.append((state.adaptive, state.d.params, state.g.params))
    close(*results, 2e-4)
    assert 0 < float(metrics["ada/p"]) <= 0.8 and 0 < float(metrics["apa/p"]) <= 0.8


def test_players_and_sides_are_augmented_apart():
    gan = tiny_gan(augment=FULL)
    keys = {player: image_keys(gan, KEY, player) for player in ("d", "g")}
    same = Labeled(jnp.broadcast_to(batch(0).images[0][:1], batch(0).images[0].shape), None)
    seen = [x.images for each in keys.values() for x in augmented(gan, {}, same, same, each)]
    flat = np.concatenate([np.asarray(images) for images in seen]).reshape(4 * len(same.images), -1)
    assert len(np.unique(flat, axis=0)) == len(flat)
    assert image_keys(tiny_gan(), KEY, "d") is None


def test_everything_that_the_discriminator_sees_is_augmented():
    """A constant augmentation: the losses are those of a GAN that is given such images."""
    gan = tiny_gan(augment=brighter, penalty=r1_r2_penalty, tasks=(Consistency(),))
    plain = dataclasses.replace(gan, augment=None)
    state, real, fake = gan.init(KEY), *(Labeled(batch(seed).images[0] / 255.0, None) for seed in (1, 2))
    keys = image_keys(gan, KEY, "d")
    painted = [x._replace(images=0.5 * x.images + 0.25) for x in (real, fake)]
    found = both_losses(gan, state.d, real, fake, KEY, keys=keys)
    close(found, both_losses(plain, state.d, *painted, KEY, keys=keys), 1e-6)


@pytest.mark.slow
def test_gradients_reach_the_generator_through_every_operation():
    """At every image they are not zero, and not those without augmentation. Grey images have no hue."""
    names = [name for name in Change._fields if name not in ("hue", "saturation")]
    pipes = [AugmentPipe(**dict.fromkeys(Change._fields, 0.0) | {name: 1.0}) for name in names]
    parts = [lambda key, image, p: image, *map(DiffAugment, ("color", "translation", "cutout")), *pipes]
    spec = dataclasses.replace(SPEC, image_shape=(8, 8, 1))  # of 4x4 pixels none would be moved
    images = jax.random.uniform(jax.random.key(1), (8, *spec.image_shape))
    state = jax.jit(tiny_gan(spec=spec).init)(KEY)

    @jax.jit
    def gradient(index):
        def augment(key, image, p):
            return jax.lax.switch(index, [lambda image, a=a: a(key, image, p) for a in parts], image)

        gan = tiny_gan(spec=spec, augment=augment)
        keys = image_keys(gan, KEY, "g")
        losses = lambda fake: both_losses(gan, state.d, Labeled(images, None), fake, KEY, keys=keys)  # noqa: E731
        return jax.grad(lambda x: losses(Labeled(x, None)).pair.g)(images)

    plain = gradient(0)
    for index, part in enumerate(parts[1:], 1):
        found = gradient(index)
        assert np.any(found, (1, 2, 3)).all(), part
        assert np.abs(found - plain).max() > 1e-4, part


@pytest.mark.parametrize(("p", "share"), [(0.0, 0), (1.0, 1)])
def test_pseudo_augmentation_replaces_real_images_only(p, share):
    gan = tiny_gan(pseudo_augmentation=APA())
    real, fake = (Labeled(batch(seed).images[0], None) for seed in (1, 2))
    state = {"apa": {"p": jnp.float32(p)}}
    a, b = augmented(gan, state, real, fake, image_keys(gan, KEY, "d"))
    np.testing.assert_array_equal(a.images, (real, fake)[share].images)
    np.testing.assert_array_equal(b.images, fake.images)


def test_p_follows_the_sign_of_the_real_logits():
    """Four updates of 64 images each: p moves by 256 / 500,000, and stays in [0, 0.8]."""
    ada = ADA()
    state = ada.init()
    for signs in ([1, 1, 1, -1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]):  # r = 0.875
        assert float(state["p"]) == 0
        state = ada.finish(ada.observe(state, Logits(3.0 * jnp.array(signs), jnp.zeros(4), 0)), 64)
    assert float(state["p"]) == pytest.approx(256 / 500_000)
    assert float(state["sign"]) == float(state["updates"]) == 0
    fast = ADA(interval=1, kimg=0.1)
    for sign, expected in ((1, [0.64, 0.8, 0.8]), (-1, [0.16, 0, 0])):
        state = {**fast.init(), "p": jnp.float32(0 if sign > 0 else 0.8)}
        for p in expected:
            state = fast.finish(fast.observe(state, Logits(jnp.full(8, sign), jnp.zeros(8), 0)), 64)
            assert float(state["p"]) == pytest.approx(p, abs=1e-6)


def test_lecam_is_the_formula_of_its_authors():
    lecam, rng = LeCam(weight=0.5, decay=0.9, start_step=2), np.random.default_rng(0)
    state, real_average, fake_average = lecam.init(), 0.0, 0.0
    for step in range(5):
        real, fake = rng.normal(1, 1, 6).astype(np.float32), rng.normal(-1, 1, 6).astype(np.float32)
        decay = 0.9 if step >= 2 else 0.0
        real_average = decay * real_average + (1 - decay) * real.mean()
        fake_average = decay * fake_average + (1 - decay) * fake.mean()
        logits = Logits(jnp.asarray(real), jnp.asarray(fake), step)
        state = lecam.observe(state, logits)
        pair = lecam.loss(state, logits)
        expected = np.mean(np.maximum(real - fake_average, 0) ** 2)
        expected += np.mean(np.maximum(real_average - fake, 0) ** 2)
        assert float(pair.d) == pytest.approx(0.5 * expected if step > 2 else 0, rel=1e-5)
        assert float(pair.g) == 0


@pytest.mark.parametrize(("penalty", "sides"), [(r1_penalty, "r"), (r2_penalty, "f"), (r1_r2_penalty, "rf")])
def test_zero_centred_penalties_in_closed_form(penalty, sides):
    """D(x) = sum(w x^2) has the gradient 2 w x."""
    w = np.linspace(-1, 1, 12).reshape(2, 2, 3).astype(np.float32)
    images = {"r": np.float32([[0.5]]), "f": np.float32([[0.2]])}
    images = {side: np.broadcast_to(x[..., None, None], (4, 2, 2, 3)) for side, x in images.items()}
    expected = sum(0.5 * np.sum((2 * w * images[side][0]) ** 2) for side in sides)

    def inputs(step):
        d = lambda x: jnp.sum(w * x**2, (1, 2, 3))  # noqa: E731
        return PenaltyInputs(d, {}, jnp.asarray(images["r"]), jnp.asarray(images["f"]), KEY, step=step)

    assert float(penalty(inputs(3))) == pytest.approx(expected, rel=1e-5)
    lazy = [float(penalty(inputs(step), interval=4)) for step in range(6)]
    np.testing.assert_allclose(lazy, [4 * expected, 0, 0, 0, 4 * expected, 0], rtol=1e-5)


def test_relativistic_pairs_in_closed_form():
    real, fake = np.array([2.0, -1.0, 0.5]), np.array([0.0, 1.0, 0.5])
    pair = relativistic(jnp.asarray(real), jnp.asarray(fake))
    assert float(pair.d) == pytest.approx(np.log1p(np.exp(fake - real)).mean(), rel=1e-6)
    assert float(pair.g) == pytest.approx(np.log1p(np.exp(real - fake)).mean(), rel=1e-6)


def test_combinations_that_make_no_sense_are_refused():
    for loss in (wasserstein, relativistic):
        with pytest.raises(UserError, match="ADA needs logits whose sign tells real from generated"):
            tiny_gan(augment=FULL, augment_probability=ADA(), loss=loss)
    with pytest.raises(UserError, match="augment_probability needs ModularGAN.augment"):
        tiny_gan(augment_probability=ADA())
    for twice, kind in (
        ({"tasks": (Consistency(), Consistency(1.0))}, "tasks"),
        ({"regularizers": (LeCam(), LeCam(0.1))}, "adaptive parts"),
    ):
        with pytest.raises(UserError, match=f"two {kind} of the GAN have the name"):
            tiny_gan(**twice)
    for wrong in (dict(target=1.5), dict(max_p=0.0), dict(interval=0)):
        with pytest.raises(UserError, match="ADA."):
            ADA(**wrong)


def test_a_consistent_discriminator_pays_nothing():
    """Of mirrored and shifted copies of constant images, which are the same images."""
    gan = tiny_gan(tasks=(Consistency(10.0, 10.0),), layers=Layers())
    flat = Labeled(jnp.full_like(batch(0).images[0], 0.3), None)
    state = gan.init(KEY)
    losses = both_losses(gan, state.d, flat, flat, KEY, keys=image_keys(gan, KEY, "d"))
    assert float(losses.metrics["loss/consistency"]) == pytest.approx(0, abs=1e-9)
    real = Labeled(batch(1).images[0], None)
    losses = both_losses(gan, state.d, real, real, KEY, keys=image_keys(gan, KEY, "d"))
    assert float(losses.metrics["loss/consistency"]) > 1e-6


def test_a_scheduled_probability_counts_updates():
    """Of the discriminator, two in each step; the loss may be one whose logits have no sign."""
    rising = functools.partial(cosine_annealing, decay_steps=4, start=0.0, end=0.6)
    control = ScheduledProbability(rising)
    gan = tiny_gan(loss=relativistic, augment=brighter, augment_probability=control, disc_iters=2)
    state, step = gan.init(KEY), jax.jit(functools.partial(train_step, gan))
    for i, expected in enumerate((0.3, 0.6, 0.6)):
        state, metrics = step(state, batch(i, 2), jax.random.fold_in(KEY, i))
        assert float(metrics["augment/p"]) == pytest.approx(expected, rel=1e-5)

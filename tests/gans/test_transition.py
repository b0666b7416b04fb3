"""The transition from unconditional to conditional training."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.types import Labeled
from compare_gan.gans.inference import sample
from compare_gan.gans.s3gan import s3gan
from compare_gan.gans.step import both_losses, train_step
from compare_gan.losses.relativistic import relativistic
from compare_gan.losses.standard import hinge, non_saturating
from compare_gan.nn import norms
from compare_gan.nn.state import merge_module
from compare_gan.penalties.gradient import r1_penalty
from compare_gan.tasks.transition import Transition, labelled_rows

from .tiny import batch, random_state, tiny_gan

KEY = jax.random.key(0)
TRANSITION = Transition(steps=100, start=0.2, end=0.6)
NORM = functools.partial(norms.conditional_batch_norm, gamma_offset=1.0)


def transitional(task=TRANSITION, **more):
    fields = dict(g_norm=NORM, conditional=True, loss=hinge, tasks=(task,)) | more
    return tiny_gan(**fields)


def sides(seed=0, missing=()):
    """Real and generated images with labels, some of which are missing."""
    real, fake = (np.asarray(batch(seed + i).images[0]) for i in range(2))
    y = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    y[list(missing)] = -1
    return Labeled(real, jax.nn.one_hot(y, 3)), Labeled(fake, jax.nn.one_hot(np.arange(8) % 3, 3))


def outputs(gan, state, side):
    """Logits, and the label projection by hand."""
    d = state.d.params
    plain = dataclasses.replace(gan, conditional=False, tasks=())
    out = merge_module(plain.d_def, {"backbone": d["backbone"]}, state.d.extra)(
        side.images, None, (), train=True
    )
    kernel = np.asarray(d["heads"]["transition"]["kernel"])
    return np.asarray(out.logits), np.sum((np.asarray(side.y) @ kernel) * np.asarray(out.features), 1)


def test_lambda_rises_linearly_between_its_shares_of_the_steps():
    found = [float(TRANSITION.strength(step)) for step in (0, 20, 30, 40, 60, 100, 500)]
    np.testing.assert_allclose(found, [0, 0, 0.25, 0.5, 1, 1, 1], atol=1e-6)
    assert (Transition(25_000).strength(2000), Transition(25_000).strength(4000)) == (0, 1)


@pytest.mark.parametrize("loss", [hinge, non_saturating, relativistic])
@pytest.mark.parametrize(("step", "strength"), [(0, 0), (40, 0.5), (60, 1)])
def test_the_loss_is_that_of_the_logits_plus_lambda_times_that_of_the_projection(loss, step, strength):
    gan = transitional(loss=loss, spectral_norm=False, penalty=r1_penalty, penalty_weight=3.0)
    state, (real, fake) = random_state(gan), sides()
    found = both_losses(gan, state.d, real, fake, KEY, step=step)
    plain = dataclasses.replace(gan, conditional=False, tasks=())
    d = dataclasses.replace(state.d, params={"backbone": state.d.params["backbone"], "heads": {}})
    unlabelled = [side._replace(y=None) for side in (real, fake)]
    first = both_losses(plain, d, *unlabelled, KEY, step=step).pair
    second = loss(*(jnp.asarray(outputs(gan, state, side)[1]) for side in (real, fake)))
    for player in ("d", "g"):
        expected = getattr(first, player) + strength * getattr(second, player)
        assert float(getattr(found.pair, player)) == pytest.approx(float(expected), rel=1e-5)
    assert float(found.metrics["transition"]) == pytest.approx(strength)


def test_unlabelled_images_count_in_the_unconditional_part_only():
    gan = transitional(spectral_norm=False)
    state, (real, fake) = random_state(gan), sides(missing=(0, 3, 4, 6, 7))
    found = both_losses(gan, state.d, real, fake, KEY, step=60)
    (plain_real, r), (plain_fake, f) = (outputs(gan, state, side) for side in (real, fake))
    r = r[[1, 2, 5, 1, 2, 5, 1, 2]]  # each generated image is compared with a labelled one

    def loss(real, fake):
        return np.mean(np.maximum(1 - real, 0)) + np.mean(np.maximum(1 + fake, 0))

    assert float(found.pair.d) == pytest.approx(loss(plain_real, plain_fake) + loss(r, f), rel=1e-5)
    assert float(found.pair.g) == pytest.approx(-np.mean(plain_fake) - np.mean(f), rel=1e-5)
    none = both_losses(gan, state.d, *sides(missing=range(8)), KEY, step=60)
    assert float(none.pair.d) == pytest.approx(loss(plain_real, plain_fake), rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        ([0, 1, 2, 1], [0, 1, 2, 3]),
        ([-1, 1, -1, 0], [1, 3, 1, 3]),
        ([-1, -1, 2, -1], [2, 2, 2, 2]),
        ([-1, -1, -1, -1], [0, 1, 2, 3]),
    ],
)
def test_labelled_rows_are_repeated_in_turn(labels, rows):
    np.testing.assert_array_equal(labelled_rows(jax.nn.one_hot(jnp.array(labels), 3)), rows)


def test_the_generator_starts_without_and_ends_with_labels():
    """At first it is a GAN whose batch norm has the mean scale and offset; at last a conditional GAN."""
    gan = transitional()
    state = random_state(gan)
    z, y = np.asarray(batch(3).images).reshape(8, -1)[:, :5], jax.nn.one_hot(np.arange(8) % 3, 3)

    def images(gan, step, y=y, params=state.g.params):
        at = dataclasses.replace(state, step=jnp.int32(step), g=dataclasses.replace(state.g, params=params))
        return np.asarray(sample(gan, at, z, y))

    scale, offset = (state.g.params["norm"][name]["kernel"].mean(0) for name in ("gamma", "beta"))
    params = {**state.g.params, "norm": {"gamma": 1 + scale, "beta": offset}}
    unconditional = tiny_gan(loss=hinge)
    np.testing.assert_allclose(images(gan, 0), images(unconditional, 0, None, params), rtol=1e-5, atol=1e-6)
    conditional = dataclasses.replace(gan, tasks=())
    np.testing.assert_array_equal(images(gan, 60), images(conditional, 60))
    between, ends = images(gan, 40), [images(gan, step) for step in (0, 60)]
    assert all(np.abs(between - end).max() > 1e-3 for end in ends)


def test_before_the_transition_the_weights_train_as_in_an_unconditional_gan():
    gan = transitional(g_norm=None)
    plain = dataclasses.replace(gan, conditional=False, tasks=())
    state = random_state(gan)
    without_head = dataclasses.replace(
        plain.initial_state(state.g, dataclasses.replace(state.d, params={**state.d.params, "heads": {}})),
        d=dataclasses.replace(
            state.d,
            params={**state.d.params, "heads": {}},
            extra={k: v for k, v in state.d.extra.items() if k != "heads"},
        ),
    )
    state = gan.initial_state(state.g, state.d)
    for i in range(2):
        rng = jax.random.fold_in(KEY, i)
        state, _ = jax.jit(functools.partial(train_step, gan))(state, batch(i), rng)
        without_head, _ = jax.jit(functools.partial(train_step, plain))(without_head, batch(i), rng)
    pairs = [(state.g.params, without_head.g.params)]
    pairs += [(state.d.params["backbone"], without_head.d.params["backbone"])]
    for one, other in pairs:
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_combinations_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="Transition needs labels; set ModularGAN.conditional = True"):
        tiny_gan(tasks=(TRANSITION,))
    twice = s3gan(transitional(), rotated_batch_fraction=2, project_y=True)
    with pytest.raises(UserError, match="labels are projected twice"):
        twice.validate()
    for wrong, message in (
        (dict(steps=0), "Transition.steps is 0"),
        (dict(steps=9, start=0.5, end=0.5), "0 <= start < end <= 1"),
        (dict(steps=9, end=1.5), "0 <= start < end <= 1"),
    ):
        with pytest.raises(UserError, match=message):
            Transition(**wrong)

"""Learning-rate schedules against formulas, and what they do to a training step."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

from compare_gan.core.errors import UserError
from compare_gan.gans import optimizers, schedules
from compare_gan.gans.step import train_step

from .tiny import batch, tiny_gan

KEY = jax.random.key(0)
STEPS = np.arange(12)


@pytest.mark.parametrize(
    "schedule, arguments, expected",
    [
        ("cosine_decay", dict(steps=8), np.cos(np.pi * np.minimum(STEPS, 8) / 8) / 2 + 0.5),
        ("cosine_decay", dict(steps=8, end=0.2), 0.2 + 0.4 * (1 + np.cos(np.pi * np.minimum(STEPS, 8) / 8))),
        ("polynomial_decay", dict(steps=4), np.maximum(1 - STEPS / 4, 0)),
        ("polynomial_decay", dict(steps=4, end=0.5, power=2.0), 0.5 + np.maximum(1 - STEPS / 4, 0) ** 2 / 2),
        ("exponential_decay", dict(steps=3, rate=0.5), 0.5 ** (STEPS / 3)),
        ("exponential_decay", dict(steps=3, rate=0.5, staircase=True), 0.5 ** (STEPS // 3)),
        (
            "piecewise_constant",
            dict(boundaries=(2, 5), factors=(1.0, 0.5, 0.1)),
            np.select([STEPS < 2, STEPS < 5], [1, 0.5], 0.1),
        ),
    ],
)
def test_a_schedule_is_its_formula(schedule, arguments, expected):
    found = jax.jit(jax.vmap(functools.partial(getattr(schedules, schedule), **arguments)))(STEPS)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_warmup_goes_with_a_schedule():
    halved = functools.partial(schedules.exponential_decay, steps=4, rate=0.5, staircase=True)
    gan = tiny_gan(lr_schedule=halved, lr_warmup_steps=5)
    found = [float(gan.lr_factor(step)) for step in range(10)]
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, *[0.5] * 4, *[0.25] * 2], rtol=1e-6)


def test_a_step_has_the_rate_of_its_number_for_both_players():
    """By plain descent, where an update is the rate times the gradient, and by one step at a time."""
    descent = dict(g_optimizer_fn=optimizers.gradient_descent, g_lr=0.1, d_lr=0.2, disc_iters=2)
    fading = functools.partial(schedules.polynomial_decay, steps=4)
    gan = tiny_gan(**descent, lr_schedule=fading)
    state = gan.init(KEY)
    step = jax.jit(lambda *arguments: train_step(gan, *arguments)[0])

    @jax.jit
    def at_constant_rates(factor, *arguments):
        rates = dict(g_lr=0.1 * factor, d_lr=0.2 * factor)
        return train_step(dataclasses.replace(gan, lr_schedule=None, **rates), *arguments)[0]

    for i, factor in enumerate((1, 0.75, 0.5, 0.25, 0.0)):
        arguments = (state, batch(i, 2), jax.random.fold_in(KEY, i))
        expected = at_constant_rates(factor, *arguments)
        new = step(*arguments)
        for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
        moved = [
            np.abs(a - b).max()
            for a, b in zip(*map(jax.tree.leaves, (new.d.params, state.d.params)), strict=True)
        ]
        assert (max(moved) > 0) == (factor > 0)
        state = new


@pytest.mark.parametrize("name", optimizers.OPTAX)
def test_an_optimiser_of_optax_goes_by_a_schedule_and_keeps_the_form_of_its_state(name):
    make = getattr(optax, name)
    gan = tiny_gan(g_optimizer_fn=make, lr_warmup_steps=4, g_lr=0.01)
    params = {"kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "bias": np.ones(3, np.float32)}
    params = jax.tree.map(jax.numpy.asarray, params)
    gradient = jax.tree.map(lambda x: 0.1 * x + 0.3, params)

    @jax.jit
    def update(params, state, step):
        updates, state = gan.g_tx(step).update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    found, state = params, gan.g_tx().init(params)
    expected, other = params, make(0.0025).init(params)
    for step in range(2):
        found, state = update(found, state, step)
        updates, other = make(0.01 * (step + 1) / 4).update(gradient, other, expected)
        expected = optax.apply_updates(expected, updates)
        for a, b, start in zip(*map(jax.tree.leaves, (found, expected, params)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
            assert np.all(np.isfinite(a)) and np.abs(a - start).max() > 0
    assert jax.tree.structure(state) == jax.tree.structure(other)


def test_the_half_life_of_the_average_grows_with_the_steps():
    """As `ema_nimg = min(ema_nimg, cur_nimg * rampup)` in units of batches, and a copy before the start."""
    half_life, rampup, start = 20.0, 0.5, 3
    gan = tiny_gan(g_use_ema=True, ema_decay=0.5 ** (1 / half_life), ema_rampup=rampup, ema_start_step=start)
    for step in (0, 2, 3, 4, 13, 42, 43, 44, 1000):
        reached = min(half_life, max(step - start, 0) * rampup)
        expected = 0.5 ** (1 / reached) if reached else 0.0
        assert float(gan.ema_decay_at(jax.numpy.int32(step))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(ema_rampup=0.0), "ModularGAN.ema_rampup is 0.0"),
        (dict(lr_warmup_steps=-1), "ModularGAN.lr_warmup_steps is -1"),
        (
            dict(
                lr_schedule=functools.partial(schedules.piecewise_constant, boundaries=(2,), factors=(1.0,))
            ),
            "one more factor",
        ),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        tiny_gan(**arguments).validate()

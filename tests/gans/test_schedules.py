"""Learning-rate schedules against formulas, and what they do to a training step."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.registry import SCHEDULES
from compare_gan.gans import optimizers, schedules
from compare_gan.gans.step import train_step
from compare_gan.penalties.gradient import r1_penalty

from .tiny import batch, tiny_gan

KEY = jax.random.key(0)
STEPS = np.arange(12)


DONE = np.minimum(STEPS, 8) / 8
COSINE = (1 + np.cos(np.pi * DONE)) / 2


def restarts(lengths, factors, alpha=0.0):
    """Cosine decays of these lengths, written one after another."""
    parts = [
        factor * (1 + np.cos(np.pi * np.arange(length) / length)) / 2
        for length, factor in zip(lengths, factors, strict=True)
    ]
    return (1 - alpha) * np.concatenate(parts)[: len(STEPS)] + alpha


@pytest.mark.parametrize(
    "schedule, arguments, expected",
    [
        ("cosine_decay", dict(decay_steps=8), COSINE),
        ("cosine_decay", dict(decay_steps=8, alpha=0.2), 0.2 + 0.8 * COSINE),
        ("cosine_decay_restarts", dict(first_decay_steps=2), restarts([2, 4, 8], [1, 1, 1])),
        (
            "cosine_decay_restarts",
            dict(first_decay_steps=1, t_mul=3.0, m_mul=0.5, alpha=0.1),
            restarts([1, 3, 9], [1, 0.5, 0.25], 0.1),
        ),
        (
            "cosine_decay_restarts",
            dict(first_decay_steps=4, t_mul=1.0, m_mul=0.5),
            restarts([4, 4, 4], [1, 0.5, 0.25]),
        ),
        ("exponential_decay", dict(decay_steps=3, decay_rate=0.5), 0.5 ** (STEPS / 3)),
        ("exponential_decay", dict(decay_steps=3, decay_rate=0.5, staircase=True), 0.5 ** (STEPS // 3)),
        ("inverse_time_decay", dict(decay_steps=3, decay_rate=0.5), 1 / (1 + 0.5 * STEPS / 3)),
        (
            "inverse_time_decay",
            dict(decay_steps=3, decay_rate=0.5, staircase=True),
            1 / (1 + 0.5 * (STEPS // 3)),
        ),
        ("natural_exp_decay", dict(decay_steps=3, decay_rate=0.5), np.exp(-0.5 * STEPS / 3)),
        (
            "natural_exp_decay",
            dict(decay_steps=3, decay_rate=0.5, staircase=True),
            np.exp(-0.5 * (STEPS // 3)),
        ),
        ("linear_cosine_decay", dict(decay_steps=8), (1 - DONE) * COSINE + 0.001),
        (
            "linear_cosine_decay",
            dict(decay_steps=8, num_periods=2.0, alpha=0.1, beta=0.01),
            (1.1 - DONE) * (1 + np.cos(4 * np.pi * DONE)) / 2 + 0.01,
        ),
        (
            "noisy_linear_cosine_decay",
            dict(decay_steps=8, initial_variance=0.0, num_periods=2.0, alpha=0.1, beta=0.01),
            (1.1 - DONE) * (1 + np.cos(4 * np.pi * DONE)) / 2 + 0.01,
        ),
        ("polynomial_decay", dict(decay_steps=4), np.maximum(1 - STEPS / 4, 0)),
        (
            "polynomial_decay",
            dict(decay_steps=4, end=0.5, power=2.0),
            0.5 + np.maximum(1 - STEPS / 4, 0) ** 2 / 2,
        ),
        (
            "polynomial_decay",
            dict(decay_steps=4, end=0.5, cycle=True),
            1 - 0.5 * STEPS / np.select([STEPS <= 4, STEPS <= 8], [4, 8], 12),
        ),
        (
            "piecewise_constant",
            dict(boundaries=(2, 5), factors=(1.0, 0.5, 0.1)),
            np.select([STEPS <= 2, STEPS <= 5], [1, 0.5], 0.1),
        ),
        ("warmup_constant_schedule", dict(warmup_steps=4), np.minimum(STEPS / 4, 1)),
        ("cosine_decay_schedule", dict(decay_steps=8, alpha=0.2), 0.2 + 0.8 * COSINE),
        ("linear_schedule", dict(transition_steps=4, end_value=0.5), 1 - np.minimum(STEPS / 4, 1) / 2),
        (
            "warmup_cosine_decay_schedule",
            dict(warmup_steps=4, decay_steps=12),
            np.where(STEPS < 4, STEPS / 4, (1 + np.cos(np.pi * (STEPS - 4) / 8)) / 2),
        ),
    ],
)
def test_a_schedule_is_its_formula(schedule, arguments, expected):
    found = jax.jit(jax.vmap(functools.partial(SCHEDULES[schedule], **arguments)))(STEPS)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("first", [1, 7, 1000, 12345])
def test_restarts_are_at_the_exact_steps(first):
    """Where float32 rounds the logarithm of the number of decays."""
    starts = first * (2 ** np.arange(1, 12) - 1)
    restart = functools.partial(schedules.cosine_decay_restarts, first_decay_steps=first)
    at, before = (np.asarray(jax.vmap(restart)(steps)) for steps in (starts, starts - 1))
    np.testing.assert_allclose(at, 1, atol=1e-6)
    lengths = np.diff(np.append(0, starts))
    np.testing.assert_allclose(before, (1 + np.cos(np.pi * (lengths - 1) / lengths)) / 2, atol=1e-3)


def test_the_noise_of_a_schedule_has_the_documented_variance():
    steps = np.arange(4000)
    noisy = functools.partial(
        schedules.noisy_linear_cosine_decay, decay_steps=10**9, initial_variance=4.0, variance_decay=0.5
    )
    noise = (np.asarray(jax.jit(jax.vmap(noisy))(steps)) - 1.001) * (1 + steps) ** 0.25 / 2
    assert abs(noise.mean()) < 4 / np.sqrt(4000) and noise.std() == pytest.approx(1, abs=4 / np.sqrt(8000))
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 4 / np.sqrt(4000)


def test_warmup_goes_with_a_schedule():
    halved = functools.partial(schedules.exponential_decay, decay_steps=4, decay_rate=0.5, staircase=True)
    gan = tiny_gan(lr_schedule=halved, lr_warmup_steps=5)
    found = [float(gan.lr_factor(step)) for step in range(10)]
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, *[0.5] * 4, *[0.25] * 2], rtol=1e-6)


def test_a_step_has_the_rate_of_its_number_for_both_players():
    """By plain descent, where an update is the rate times the gradient, and by one step at a time."""
    descent = dict(g_optimizer_fn=optimizers.gradient_descent, g_lr=0.1, d_lr=0.2, disc_iters=2)
    fading = functools.partial(schedules.polynomial_decay, decay_steps=4)
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


def test_the_half_life_of_the_average_follows_a_schedule():
    """From none to all of that of `ema_decay`."""
    half_life = functools.partial(schedules.cosine_annealing, decay_steps=10, start=0.0, end=1.0)
    gan = tiny_gan(g_use_ema=True, ema_decay=0.5 ** (1 / 20), ema_start_step=0, ema_schedule=half_life)
    for step, reached in ((0, 0), (5, 10), (10, 20), (30, 20)):
        expected = 0.5 ** (1 / reached) if reached else 0.0
        assert float(gan.ema_decay_at(jax.numpy.int32(step))) == pytest.approx(expected, rel=1e-5)


def test_the_weight_of_the_penalty_follows_a_schedule():
    falling = functools.partial(schedules.cosine_annealing, decay_steps=4, end=0.5)
    gan = tiny_gan(penalty=r1_penalty, penalty_weight=8.0, penalty_schedule=falling)
    state, step = gan.init(KEY), jax.jit(functools.partial(train_step, gan))
    fixed = jax.jit(
        lambda weight, *args: train_step(tiny_gan(penalty=r1_penalty, penalty_weight=weight), *args)
    )
    for i, weight in enumerate((8.0, 8 - 2 * (1 - np.sqrt(0.5)))):
        arguments = (state, batch(i), jax.random.fold_in(KEY, i))
        (state, metrics), (expected, _) = step(*arguments), fixed(weight, *arguments)
        assert float(metrics["loss/penalty"]) > 0
        for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_scheduled_adam_is_that_of_optax_with_the_current_value():
    """Whose corrections of the bias are those of PyTorch, see `tests/authors/test_r3gan.py`."""
    b2 = functools.partial(schedules.cosine_annealing, decay_steps=4, start=0.5, end=0.9)
    params, gradient = jax.numpy.arange(3.0), jax.numpy.float32([1, -2, 0.5])
    tx = optimizers.scheduled_adam(0.1, b2=b2)
    state = other = tx.init(params)
    for step in range(6):
        gradient = gradient * 1.5
        updates, state = tx.update(gradient, state)
        expected, other = optax.adam(0.1, 0.0, float(b2(step))).update(gradient, other)
        np.testing.assert_allclose(updates, expected, rtol=1e-6)


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
        (
            dict(lr_schedule=functools.partial(schedules.cosine_decay, decay_steps=0)),
            "decay_steps of a schedule is 0; it must be at least 1",
        ),
        (
            dict(penalty_schedule=functools.partial(schedules.cosine_annealing, decay_steps=0)),
            "decay_steps of a schedule is 0; it must be at least 1",
        ),
        (
            dict(g_use_ema=True, ema_schedule=functools.partial(schedules.cosine_annealing, decay_steps=0)),
            "decay_steps of a schedule is 0; it must be at least 1",
        ),
        (
            dict(
                lr_schedule=functools.partial(schedules.cosine_decay_restarts, first_decay_steps=5, t_mul=0.5)
            ),
            "cosine_decay_restarts.t_mul is 0.5; it must be at least 1",
        ),
        (
            dict(lr_schedule=functools.partial(SCHEDULES["cosine_decay_schedule"], decay_steps=0)),
            "optax.cosine_decay_schedule: .*positive",
        ),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        tiny_gan(**arguments).validate()

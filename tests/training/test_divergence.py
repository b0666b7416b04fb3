"""Training that diverges or collapses is noticed, and the last good state is kept."""

import dataclasses
import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_log
from compare_gan.losses.standard import hinge, least_squares, non_saturating, wasserstein
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.divergence import (
    Diverged,
    DivergenceHook,
    DivergenceMonitor,
    DivergencePolicy,
    read_incidents,
)
from compare_gan.training.hooks import Action, SampleHook
from compare_gan.training.loop import Job, run
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.writers import sample_std
from tests.training.tiny import blobs

FINE = {"step": 1, "loss/d": 1.0, "loss/g": 1.0, "logits/real": 0.5, "logits/fake": -0.5}


def monitor(loss=hinge, **choices):
    return DivergenceMonitor(DivergencePolicy(**choices), loss, 0.2)


@pytest.mark.parametrize("name, value", [("loss/g", np.nan), ("loss/d", np.inf), ("loss/d", -2e5)])
def test_nan_inf_and_huge_losses_are_divergence(name, value):
    checks = monitor()
    assert checks.check_metrics(FINE) is None
    incident = checks.check_metrics(FINE | {name: value})
    assert incident.diverged and name in incident.what
    assert incident.values == {name: pytest.approx(value, nan_ok=True)}


@pytest.mark.parametrize(
    "loss, real, fake", [(hinge, 1.1, -1.1), (non_saturating, 9.0, -9.0), (least_squares, 9.0, -9.0)]
)
def test_a_saturated_discriminator_is_reported_once(loss, real, fake):
    checks = monitor(loss, patience=3)
    done = FINE | {"logits/real": real, "logits/fake": fake}
    found = [checks.check_metrics(each) for each in (done, done, FINE, done, done, done, done)]
    assert [incident is not None for incident in found] == [False] * 5 + [True, False]
    assert not found[5].diverged and "saturated" in found[5].what


def test_a_loss_without_lower_bound_is_not_checked_for_saturation():
    checks = monitor(wasserstein, patience=1)
    assert checks.check_metrics(FINE | {"logits/real": 1e4, "logits/fake": -1e4}) is None


def test_mode_collapse_is_reported_once_after_some_grids_in_a_row():
    checks = monitor(collapse_patience=2)
    found = [checks.check_samples(std) is not None for std in (0.003, 0.1, 0.003, 0.003, 0.003)]
    assert found == [False, False, False, True, False]
    assert checks.check_samples(float("nan")).diverged


def test_sample_std_is_the_deviation_among_images():
    images = np.random.default_rng(0).random((50, 3, 4, 1))
    by_hand = np.mean([np.std(images[:, i, j, 0]) for i in range(3) for j in range(4)])
    assert sample_std(images) == pytest.approx(by_hand) and sample_std(images[:1]) == 0


def test_an_unknown_response_is_refused():
    with pytest.raises(UserError, match="on_divergence is 'panic'; use stop, rollback or note"):
        DivergencePolicy("panic")


class Count(NamedTuple):
    step: jax.Array
    number: jax.Array


def job(bad):
    """A job whose fourth step reports what `bad` makes of its random number."""

    def step(state, batch, rng, shard):
        number = jax.random.uniform(rng)
        loss = jnp.where(state.step == 3, bad(number), 1.0)
        return Count(state.step + 1, number), {"loss/d": loss}

    return Job("job", lambda key: Count(jnp.int32(0), jnp.float32(0)), step, 4)


SCHEDULE = TrainSchedule(6, log_every=1, sample_every=100, save_every=2)


def trained(run_dir, bad, seed=0, schedule=SCHEDULE, hooks=(), **choices):
    run_dir.mkdir(exist_ok=True)
    checkpoints = Checkpoints(run_dir)
    methods = {"draw": lambda self, state, step: {}, "write": lambda self, drawn, step: None}
    samples = SampleHook(type("Writer", (), methods)(), schedule)
    divergence = DivergenceHook(monitor(**choices), run_dir, checkpoints, samples)
    return run(
        job(bad),
        blobs().train,
        run_dir=run_dir,
        schedule=schedule,
        seed=seed,
        checkpoints=checkpoints,
        hooks=[samples, divergence, *hooks],
    )


@pytest.mark.parametrize("log_every", [1, 2, 4])  # the report of step 4 arrives at step 4
def test_stopping_keeps_the_last_good_checkpoint(tmp_path, log_every):
    schedule = dataclasses.replace(SCHEDULE, log_every=log_every)
    with pytest.raises(
        Diverged, match="loss/d is NaN or Inf at step 4; stopped.*that of step 2; see incidents.jsonl"
    ) as stopped:
        trained(tmp_path, lambda number: jnp.nan, schedule=schedule)
    assert "\n" not in str(stopped.value)
    assert Checkpoints(tmp_path).steps() == [2]
    (incident,) = read_incidents(tmp_path)
    assert (incident["step"], incident["done"], incident["seen"]) == (4, "stopped", {"loss/d": "nan"})


def test_a_report_that_arrives_one_step_late_names_its_own_step(tmp_path):
    schedule = TrainSchedule(12, log_every=4, sample_every=100, save_every=100)
    with pytest.raises(Diverged, match="at step 4; stopped; the last good checkpoint is that of step 0"):
        trained(tmp_path, lambda number: jnp.nan, schedule=schedule)
    assert [row["step"] for row in read_log(tmp_path / "metrics.jsonl")] == [4]


def test_noting_continues(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert int(trained(tmp_path, lambda number: jnp.inf, on_divergence="note").step) == 6
    assert "loss/d is NaN or Inf at step 4; training continues" in caplog.text
    assert read_incidents(tmp_path)[0]["done"] == "noted"


def bad_once(number):
    return jnp.where(number < 0.5, jnp.nan, 1.0)


def seed_that_fails_once():
    """By the rule of the loop: the key of a step is folded from the root, which is folded by rollbacks."""
    for seed in range(100):
        _, root = jax.random.split(jax.random.key(seed))
        first, second = (
            float(jax.random.uniform(jax.random.fold_in(each, 3)))
            for each in (root, jax.random.fold_in(root, 1))
        )
        if first < 0.5 <= second:
            return seed
    raise AssertionError


def test_rollback_draws_other_numbers_and_a_resumed_run_draws_the_same(tmp_path):
    seed = seed_that_fails_once()
    uninterrupted = trained(tmp_path / "a", bad_once, seed, on_divergence="rollback")
    assert [line["done"] for line in read_incidents(tmp_path / "a")] == ["rolled back to step 2"]
    assert [line["step"] for line in read_log(tmp_path / "a" / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    shorter = dataclasses.replace(SCHEDULE, steps=5)
    trained(tmp_path / "b", bad_once, seed, shorter, on_divergence="rollback")
    resumed = trained(tmp_path / "b", bad_once, seed, on_divergence="rollback")
    assert float(uninterrupted.number) == float(resumed.number)


def test_rollbacks_are_limited(tmp_path):
    with pytest.raises(Diverged):
        trained(tmp_path, lambda number: jnp.nan, on_divergence="rollback", max_rollbacks=2)
    assert [line["done"][:6] for line in read_incidents(tmp_path)] == ["rolled", "rolled", "stoppe"]


def test_a_rollback_that_a_hook_asks_for_is_noted_and_counted(tmp_path):
    asked = []

    def ask_once(step, state, metrics):
        if step == 5 and not asked:
            asked.append(float(state.number))
            return Action.ROLL_BACK
        return None

    state = trained(tmp_path, lambda number: 1.0, hooks=[ask_once])
    (line,) = read_incidents(tmp_path)
    assert (line["step"], line["done"]) == (5, "rolled back to step 4")
    _, root = jax.random.split(jax.random.key(0))
    last = jax.random.uniform(jax.random.fold_in(jax.random.fold_in(root, 1), 5))
    assert float(state.number) == float(last) and len(asked) == 1

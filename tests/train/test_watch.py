"""Training that goes wrong is seen, and what was good is kept."""

import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_log
from compare_gan.losses.standard import hinge, least_squares, non_saturating, wasserstein
from compare_gan.train.checkpoints import Checkpoints
from compare_gan.train.loop import Job, Schedule, run
from compare_gan.train.watch import Diverged, Watch, Watcher, read_incidents
from compare_gan.train.writers import spread
from tests.train.tiny import blobs

FINE = {"loss/d": 1.0, "loss/g": 1.0, "logits/real": 0.5, "logits/fake": -0.5}


def watcher(tmp_path, loss=hinge, **choices):
    return Watcher(Watch(**choices), tmp_path, loss, 0.2)


@pytest.mark.parametrize("name, value", [("loss/g", np.nan), ("loss/d", np.inf), ("loss/d", -2e5)])
def test_losses_that_are_lost(tmp_path, name, value):
    watch = watcher(tmp_path)
    assert watch.reported(FINE) is None
    trouble = watch.reported(FINE | {name: value})
    assert (
        trouble.fatal and name in trouble.what and trouble.seen == {name: pytest.approx(value, nan_ok=True)}
    )


@pytest.mark.parametrize(
    "loss, real, fake", [(hinge, 1.1, -1.1), (non_saturating, 9.0, -9.0), (least_squares, 9.0, -9.0)]
)
def test_a_discriminator_that_has_nothing_left_to_learn_is_told_once(tmp_path, loss, real, fake):
    watch = watcher(tmp_path, loss, patience=3)
    done = FINE | {"logits/real": real, "logits/fake": fake}
    found = [watch.reported(each) for each in (done, done, FINE, done, done, done, done)]
    assert [trouble is not None for trouble in found] == [False] * 5 + [True, False]
    assert not found[5].fatal and "nothing left to learn" in found[5].what


def test_a_loss_without_a_floor_is_not_judged(tmp_path):
    watch = watcher(tmp_path, wasserstein, patience=1)
    assert watch.reported(FINE | {"logits/real": 1e4, "logits/fake": -1e4}) is None


def test_samples_that_are_all_the_same(tmp_path):
    watch = watcher(tmp_path, patience_spread=2)
    assert [watch.drawn(s) is None for s in (0.003, 0.1, 0.003, 0.003, 0.003)] == [
        True,
        True,
        True,
        False,
        True,
    ]
    assert watch.drawn(float("nan")).fatal


def test_spread_is_the_deviation_among_images():
    images = np.random.default_rng(0).random((50, 3, 4, 1))
    by_hand = np.mean([np.std(images[:, i, j, 0]) for i in range(3) for j in range(4)])
    assert spread(images) == pytest.approx(by_hand) and spread(images[:1]) == 0


def test_an_action_that_there_is_not():
    with pytest.raises(UserError, match="on_fatal is 'panic'; use stop, rollback or note"):
        Watch("panic")


class Count(NamedTuple):
    step: jax.Array
    dice: jax.Array


def job(bad):
    """A job whose fourth step reports what `bad` makes of its random number."""

    def step(state, batch, rng, place):
        dice = jax.random.uniform(rng)
        loss = jnp.where(state.step == 3, bad(dice), 1.0)
        return Count(state.step + 1, dice), {"loss/d": loss}

    return Job("job", lambda key: Count(jnp.int32(0), jnp.float32(0)), step, 4)


def go(tmp_path, bad, seed=0, steps=6, **choices):
    tmp_path.mkdir(exist_ok=True)
    return run(
        job(bad),
        blobs().train,
        run_dir=tmp_path,
        schedule=Schedule(steps, log_every=1, sample_every=100, save_every=2),
        seed=seed,
        watcher=watcher(tmp_path, **choices),
    )


def test_stopping_keeps_the_last_good_checkpoint_and_says_so(tmp_path):
    with pytest.raises(
        Diverged, match="loss/d not finite at step 4.*that of step 2; see incidents.jsonl"
    ) as told:
        go(tmp_path, lambda dice: jnp.nan)
    assert "\n" not in str(told.value)
    assert Checkpoints(tmp_path).steps() == [2]
    (incident,) = read_incidents(tmp_path)
    assert (incident["step"], incident["done"], incident["seen"]) == (4, "stopped", {"loss/d": "nan"})


def test_noting_goes_on(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert int(go(tmp_path, lambda dice: jnp.inf, on_fatal="note").step) == 6
    assert (
        "loss/d not finite at step 4; going on" in caplog.text
        and read_incidents(tmp_path)[0]["done"] == "noted"
    )


def bad_once(dice):
    return jnp.where(dice < 0.5, jnp.nan, 1.0)


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


def test_rolling_back_throws_the_dice_anew_and_a_resumed_run_throws_the_same(tmp_path):
    seed = seed_that_fails_once()
    whole = go(tmp_path / "a", bad_once, seed, on_fatal="rollback")
    assert [line["done"] for line in read_incidents(tmp_path / "a")] == ["rolled back to step 2"]
    assert [line["step"] for line in read_log(tmp_path / "a" / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    go(tmp_path / "b", bad_once, seed, steps=5, on_fatal="rollback")
    resumed = go(tmp_path / "b", bad_once, seed, on_fatal="rollback")
    assert float(whole.dice) == float(resumed.dice)


def test_rolling_back_has_an_end(tmp_path):
    with pytest.raises(Diverged):
        go(tmp_path, lambda dice: jnp.nan, on_fatal="rollback", most_rollbacks=2)
    assert [line["done"][:6] for line in read_incidents(tmp_path)] == ["rolled", "rolled", "stoppe"]

"""The schedule, what a batch holds, and how often a step is traced."""

import dataclasses

import jax
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.files import read_log
from compare_gan.core.placement import Placement
from compare_gan.core.sampler import spherical
from compare_gan.gans.step import train_step
from compare_gan.training.feed import open_feed
from compare_gan.training.gan import check_labels, train
from compare_gan.training.loop import Job, compile_step
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.writers import MetricsLog
from tests.training.tiny import GANS, blobs


def test_reports_depend_on_the_step_alone():
    schedule = TrainSchedule(25, log_every=10, sample_every=15, save_every=7)
    assert [step for step in range(26) if schedule.reports(step)] == [7, 10, 14, 15, 20, 21, 25]
    assert [step for step in range(26) if schedule.uses_state(step)] == [7, 14, 15, 21, 25]


def test_a_schedule_without_steps_is_refused():
    with pytest.raises(UserError, match="steps is 0; it must be at least 1"):
        TrainSchedule(0)


def test_a_step_is_traced_once():
    gan, traces = GANS["ssgan"], []

    def step(*args):
        traces.append(1)
        return train_step(gan, *args)

    job = Job("job", gan.init, step, gan.batch_size, gan.sub_batches)
    placement, split = Placement.create(), blobs().train
    feed = open_feed(split, job, steps=3, seed=0, placement=placement)
    state = jax.jit(gan.init, out_shardings=placement.replicated)(jax.random.key(0))
    key = jax.random.key_data(jax.random.key(1))
    for i in range(3):
        taken = compile_step(dataclasses.replace(job, name=f"job {i}"), placement, feed.select)
        state, _ = taken(state, feed.data, feed.batch(i), key)
    assert len(traces) == 1 and int(state.step) == 3


@pytest.mark.parametrize("labels", [np.array([0, 4]), np.array([-2, 0]), np.zeros((2, 3), np.float32)])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(UserError, match="labels"):
        check_labels(labels, 4)


def test_a_batch_size_that_devices_do_not_divide_is_refused():
    placement = Placement.create()
    mesh = type("Mesh", (), {"size": 3})()
    with pytest.raises(UserError, match="batch_size is 16; it must be a multiple of the 3 devices"):
        Placement.local(type("P", (), {"mesh": mesh})(), 16)  # type: ignore[arg-type]
    assert placement.local(16) == slice(0, 16)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="it or a parent is a file"):
        train(GANS["ssgan"], blobs().train, run_dir=blocked / "run", schedule=TrainSchedule(1))


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.append(10, 1.0, {"loss/d": 0.5})
    log.append(20, 2.0, {"loss/d": 0.25})
    with open(path, "a") as file:
        file.write('{"step": 30, "sec')  # killed here
    again = MetricsLog(path, 10)
    again.append(20, 1.5, {"loss/d": 0.125})
    assert read_log(path) == (
        {"step": 10, "seconds": 1.0, "loss/d": 0.5},
        {"step": 20, "seconds": 2.5, "loss/d": 0.125},
    )


def test_spherical_interpolation_keeps_the_angle_even_and_the_length_linear():
    a, b = np.array([[2.0, 0.0]], np.float32), np.array([[0.0, 4.0]], np.float32)
    points = np.asarray(spherical(a, b, np.linspace(0, 1, 5, dtype=np.float32)))[0]
    np.testing.assert_allclose(
        np.degrees(np.arctan2(points[:, 1], points[:, 0])), [0, 22.5, 45, 67.5, 90], atol=1e-2
    )
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), [2, 2.5, 3, 3.5, 4], rtol=1e-4)

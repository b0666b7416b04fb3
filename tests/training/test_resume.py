"""A run that was stopped resumes bit-exactly."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from compare_gan.core.files import read_log
from compare_gan.core.placement import Placement
from compare_gan.data import Split
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.gan import job_of, train
from compare_gan.training.loop import compile_init
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.tensorboard import learning_rates
from compare_gan.training.writers import SampleWriter
from tests.helpers.events import expected_values, values
from tests.helpers.tiers import slow_unless
from tests.training.tiny import GANS, blobs

SCHEDULE = TrainSchedule(8, log_every=2, sample_every=8, save_every=3, keep_checkpoints=None)


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def some_labels() -> Split:
    """The blobs with a label on every other image."""
    train_split = blobs().train
    return Split(train_split.images, np.where(np.arange(len(train_split)) % 2, train_split.labels, -1))


@pytest.fixture(scope="module", params=slow_unless(lambda name: name == "s3gan", GANS))
def undisturbed(request, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp(request.param)
    state = train(GANS[request.param], some_labels(), run_dir=run_dir, schedule=SCHEDULE)
    return request.param, run_dir, state


def stop_in_the_middle(monkeypatch, gan, run_dir):
    """The process dies after step 4; the newest checkpoint is of step 3."""
    put, calls = Placement.make_global, []

    def dies(self, batches):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("killed")
        return put(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Placement, "make_global", dies)
        with pytest.raises(RuntimeError, match="killed"):
            train(gan, some_labels(), run_dir=run_dir, schedule=SCHEDULE)


def test_a_killed_run_resumes_bit_exactly(undisturbed, tmp_path, monkeypatch):
    name, reference_dir, reference = undisturbed
    stop_in_the_middle(monkeypatch, GANS[name], tmp_path)
    assert Checkpoints(tmp_path).steps() == [3]
    resumed = train(GANS[name], some_labels(), run_dir=tmp_path, schedule=SCHEDULE)
    for a, b in zip(leaves(reference), leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)

    def numbers(run_dir):
        return [
            {key: value for key, value in line.items() if key != "seconds"}
            for line in read_log(run_dir / "metrics.jsonl")
        ]

    assert numbers(reference_dir) == numbers(tmp_path)
    assert all(np.isfinite(list(line.values())).all() for line in numbers(tmp_path))
    for picture in ("samples/000000.png", "samples/000008.png", "interpolations/000008.png"):
        assert (reference_dir / picture).read_bytes() == (tmp_path / picture).read_bytes()
    rates = learning_rates(GANS[name], SCHEDULE.steps)
    for run_dir in (reference_dir, tmp_path):  # TensorBoard events
        found = values(run_dir)
        assert found.pop(("samples/real", 0)).startswith(b"\x89PNG")
        assert found == expected_values(run_dir, rates)


def test_a_finished_run_is_read_not_trained(undisturbed):
    name, run_dir, reference = undisturbed
    before = {path: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").rglob("*")}
    again = train(GANS[name], some_labels(), run_dir=run_dir, schedule=SCHEDULE)
    for a, b in zip(leaves(reference), leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert before == {path: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").rglob("*")}


def test_old_checkpoints_that_a_killed_process_did_not_remove_are_removed(undisturbed, tmp_path):
    """It was killed after it had saved the last step, while it removed the first checkpoint."""
    name, run_dir, state = undisturbed
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "1" / "d").mkdir(parents=True)  # what is left of it
    assert Checkpoints(tmp_path / "run").steps() == [3, 6, 8]
    schedule = dataclasses.replace(SCHEDULE, keep_checkpoints=2)
    again = train(GANS[name], some_labels(), run_dir=tmp_path / "run", schedule=schedule)
    assert all(np.array_equal(a, b) for a, b in zip(leaves(state), leaves(again), strict=True))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["6", "8"]


def test_pictures_of_step_0_are_those_of_the_initial_state(undisturbed, tmp_path):
    """The loop donates that state to the first step, while the pictures are drawn."""
    name, run_dir, _ = undisturbed
    placement = Placement.create()
    gan = GANS[name].with_replicas(placement.mesh.size)
    state = compile_init(job_of(gan, False), placement)(jax.random.split(jax.random.key(0))[0])
    writer = SampleWriter(gan, tmp_path, 0, placement)
    writer.write(writer.draw(state, 0), 0)
    picture = "samples/000000.png"
    assert (run_dir / picture).read_bytes() == (tmp_path / picture).read_bytes()
    assert not (run_dir / "interpolations/000000.png").exists()


def test_pictures_show_the_same_vectors_at_every_step(tmp_path):
    gan = GANS["s3gan"]
    first, again = (SampleWriter(gan, tmp_path, 3, Placement.create()) for _ in range(2))
    for name in ("samples", "interpolations"):
        np.testing.assert_array_equal(first.inputs[1][name], again.inputs[1][name])
    assert first.rows == gan.y_dim == 4

"""The event file of a run says what metrics.jsonl and samples/ say, each value once."""

import dataclasses
import functools
import io

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.files import read_log
from compare_gan.data.base import Split
from compare_gan.gans.schedules import cosine_decay
from compare_gan.training import tensorboard
from compare_gan.training.hooks import Action
from compare_gan.training.loop import run
from compare_gan.training.schedule import TrainSchedule
from compare_gan.training.tensorboard import TensorBoardHook, learning_rates, real_grid
from tests.helpers.events import events, expected_values, values
from tests.training.tiny import BASE, COUNT, blobs

SCHEDULE = TrainSchedule(12, log_every=2, sample_every=3, save_every=4, keep_checkpoints=None)
RATES = {"learning_rate/g": np.linspace(1, 2, 12)}


class Samples:
    """Writes a picture at the sample steps, different in every call, in place of `SampleHook`."""

    def __init__(self, run_dir):
        self.folder, self.std = run_dir / "samples", None
        self.folder.mkdir(exist_ok=True)
        self.calls = 0

    def __call__(self, step, state, metrics):
        self.std = None
        if step % SCHEDULE.sample_every == 0:
            self.std, self.calls = 1.0, self.calls + 1
            pixels = np.random.default_rng(len(list(self.folder.iterdir())) + self.calls)
            Image.fromarray(pixels.integers(0, 256, (4, 6, 3), np.uint8)).save(self.folder / f"{step:06}.png")


def trained(run_dir, *hooks, real=None):
    samples = Samples(run_dir)
    hook = TensorBoardHook(run_dir, samples, RATES, real)
    return run(
        COUNT, blobs().train, run_dir=run_dir, schedule=SCHEDULE, seed=0, hooks=[samples, hook, *hooks]
    )


class AtStep:
    """Calls `act` once, at a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def __call__(self, step, state, metrics):
        if step == self.step and self.act is not None:
            act, self.act = self.act, None
            return act()


def die():
    raise RuntimeError("killed")


def test_a_run_without_interruption(tmp_path):
    png = tmp_path / "real.png"
    Image.new("L", (2, 3)).save(png)
    trained(tmp_path, real=png.read_bytes())
    found = values(tmp_path)
    assert found.pop(("samples/real", 0)) == png.read_bytes()
    assert found == expected_values(tmp_path, RATES)
    assert {name for name, _ in found} == {
        "loss/d",
        "number",
        "learning_rate/g",
        "steps_per_second",
        "samples/generated",
    }
    assert [at for name, at in found if name == "samples/generated"] == [0, 3, 6, 9, 12]


@pytest.mark.parametrize("stop_at", [3, 6, 7, 8])
def test_a_killed_run_that_resumes_has_no_event_twice(tmp_path, stop_at):
    with pytest.raises(RuntimeError, match="killed"):
        trained(tmp_path, AtStep(stop_at, die))
    seen = []
    trained(tmp_path, AtStep(stop_at // 4 * 4 + 1, lambda: seen.append(values(tmp_path))))
    assert max(at for _, at in seen[0]) <= stop_at // 4 * 4 + 1
    assert values(tmp_path) == expected_values(tmp_path, RATES)
    assert len(read_log(tmp_path / "metrics.jsonl")) == len({2, 3, 4, 6, 8, 9, 10, 12})


def test_a_rollback_discards_events_and_samples_of_later_steps(tmp_path):
    largest = []

    def look(step, state, metrics):
        largest.append((step, max((at for _, at in values(tmp_path)), default=0)))
        return Action.ROLL_BACK if len(largest) == 8 else None

    trained(tmp_path, look)
    assert largest[7] == (7, 6)
    assert largest[8] == (5, 4)  # the picture of step 6 exists, but is of the discarded steps
    assert largest[-1] == (12, 12)
    assert values(tmp_path) == expected_values(tmp_path, RATES)


def test_a_run_that_was_trained_without_events_gets_all_of_them_when_it_resumes(tmp_path):
    with pytest.raises(RuntimeError, match="killed"):
        run(
            COUNT,
            blobs().train,
            run_dir=tmp_path,
            schedule=SCHEDULE,
            seed=0,
            hooks=[Samples(tmp_path), AtStep(9, die)],
        )
    assert not values(tmp_path)
    trained(tmp_path)
    assert values(tmp_path) == expected_values(tmp_path, RATES)


def test_times_of_events_are_those_of_the_log(tmp_path):
    trained(tmp_path)
    (path,) = tmp_path.glob("*tfevents*")
    times = {event.step: event.wall_time for event in events(path) if event.summary.value}
    seconds = {row["step"]: row["seconds"] for row in read_log(tmp_path / "metrics.jsonl")}
    assert [times[at] - times[0] for at in seconds] == pytest.approx(list(seconds.values()), abs=1e-4)


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "is_main_process", lambda: False)
    trained(tmp_path)
    assert not values(tmp_path)


def test_learning_rates_are_those_of_the_optimisers():
    gan = dataclasses.replace(
        BASE,
        g_lr=1e-3,
        d_lr=4e-3,
        lr_schedule=functools.partial(cosine_decay, decay_steps=100),
        lr_warmup_steps=10,
        g_optimizer_fn=lambda rate: rate,
        d_optimizer_fn=lambda rate: rate,
    )
    rates = learning_rates(gan, 50)
    t = np.arange(50)
    factor = 0.5 * (1 + np.cos(np.pi * t / 100)) * np.minimum((t + 1) / 10, 1)
    np.testing.assert_allclose(rates["learning_rate/g"], 1e-3 * factor, rtol=1e-5)
    np.testing.assert_allclose(rates["learning_rate/d"], 4e-3 * factor, rtol=1e-5)
    np.testing.assert_allclose(rates["learning_rate/d"][[0, 30]], [gan.d_tx(0), gan.d_tx(30)], rtol=1e-6)
    constant = learning_rates(dataclasses.replace(BASE, g_lr=0.5), 3)
    assert [rate.tolist() for rate in constant.values()] == [[0.5] * 3] * 2


def test_real_images_have_a_row_per_class():
    labels = np.arange(40) % 3
    shades = np.broadcast_to((labels * 40 + np.arange(40) % 2).reshape(40, 1, 1, 1), (40, 2, 2, 1))
    split = Split(shades.astype(np.uint8), np.where(labels == 1, -1, labels))
    picture = decoded(real_grid(split, 3))
    assert picture.shape == (2 * 2, 10 * 2)  # no image of class 1 has a label
    assert set(picture[:2].ravel() // 40) == {0} and set(picture[2:].ravel() // 40) == {2}
    mixed = decoded(real_grid(split, 0))
    assert mixed.shape == (20, 20) and set(mixed.ravel() // 40) == {0, 1, 2}


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)))

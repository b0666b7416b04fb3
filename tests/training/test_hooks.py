"""When the loop calls hooks, what they get, and what their answers do."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.core.files import read_log
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.hooks import Action, ProfileHook, SampleHook, call_hooks
from compare_gan.training.loop import Job, run
from compare_gan.training.reports import Reports
from compare_gan.training.schedule import TrainSchedule
from tests.training.tiny import blobs


class Count(NamedTuple):
    step: jax.Array


def step(state, batch, rng, shard):
    return Count(state.step + 1), {"number": state.step.astype(jnp.float32) ** 2}


JOB = Job("job", lambda key: Count(jnp.int32(0)), step, 4)


class Record:
    """Keeps what a hook gets; answers by step."""

    def __init__(self, **answers):
        self.calls, self.answers = [], {int(name[1:]): action for name, action in answers.items()}

    def __call__(self, step, state, metrics):
        self.calls.append((step, int(state.step), metrics))
        return self.answers.get(step)


def trained(run_dir, schedule, *hooks):
    return run(JOB, blobs().train, run_dir=run_dir, schedule=schedule, seed=0, hooks=hooks)


def mean_of_squares(first, last):
    return float(np.mean(np.arange(first, last + 1, dtype=np.float32) ** 2))


def test_hooks_get_every_step_and_each_report_once(tmp_path):
    record = Record()
    trained(tmp_path, TrainSchedule(9, log_every=4, sample_every=100, save_every=6), record)
    assert [call[:2] for call in record.calls] == [(step, step) for step in range(10)]
    reports = {step: metrics for step, _, metrics in record.calls if metrics is not None}
    assert (
        reports
        == {  # that of step 4 comes late, that of step 8 does not, since the next step reports, too
            5: {"step": 4, "number": mean_of_squares(0, 3)},
            6: {"step": 6, "number": mean_of_squares(4, 5)},
            8: {"step": 8, "number": mean_of_squares(6, 7)},
            9: {"step": 9, "number": mean_of_squares(8, 8)},
        }
    )
    rows = [(row["step"], row["number"]) for row in read_log(tmp_path / "metrics.jsonl")]
    assert rows == [(report["step"], pytest.approx(report["number"])) for report in reports.values()]


def test_a_resumed_run_does_not_call_hooks_with_step_0(tmp_path):
    trained(tmp_path, TrainSchedule(2))
    record = Record()
    trained(tmp_path, TrainSchedule(4), record)
    assert [call[0] for call in record.calls] == [3, 4]
    trained(tmp_path, TrainSchedule(4), record)
    assert len(record.calls) == 2  # there is nothing left to do


class Writer:
    """Draws the number of steps that the state has taken; keeps it, and the checkpoints at that time."""

    def __init__(self, run_dir):
        self.checkpoints, self.written = Checkpoints(run_dir), []

    def draw(self, state, step):
        return {"samples": state.step * 1}

    def write(self, drawn, step):
        self.written.append((step, int(drawn["samples"]), self.checkpoints.steps()))
        return 1.0


def test_samples_of_step_0_are_of_the_initial_state_and_written_before_a_checkpoint(tmp_path):
    schedule = TrainSchedule(5, sample_every=2, save_every=1, keep_checkpoints=None)
    writer, stds = Writer(tmp_path), []
    samples = SampleHook(writer, schedule)
    trained(tmp_path, schedule, samples, lambda step, state, metrics: stds.append(samples.std))
    written = [(step, number) for step, number, _ in writer.written]
    assert written == [(0, 0), (2, 2), (4, 4), (5, 5)]
    assert writer.written[0][2] == []
    assert stds == [None, None, 1.0, None, 1.0, 1.0]


def test_a_run_that_is_killed_before_its_first_step_ends_draws_step_0_again(tmp_path):
    schedule = TrainSchedule(2, sample_every=2)
    killed, writer = Writer(tmp_path), Writer(tmp_path)

    def kill(step, state, metrics):
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        trained(tmp_path, schedule, SampleHook(killed, schedule), kill)
    assert killed.written == []
    trained(tmp_path, schedule, SampleHook(writer, schedule))
    assert [step for step, *_ in writer.written] == [0, 2]


def test_save_writes_a_checkpoint(tmp_path):
    trained(tmp_path, TrainSchedule(5, keep_checkpoints=None), Record(_3=Action.SAVE))
    assert Checkpoints(tmp_path).steps() == [3, 5]


def test_stop_saves_and_returns_and_the_next_call_resumes(tmp_path):
    assert int(trained(tmp_path, TrainSchedule(9), Record(_3=Action.STOP)).step) == 3
    assert Checkpoints(tmp_path).steps() == [3]
    assert int(trained(tmp_path, TrainSchedule(9), Record()).step) == 9


def test_the_strongest_action_counts_and_rollback_ends_the_round():
    calls = []

    def answering(action):
        def hook(step, state, metrics):
            calls.append(action)
            return action

        return hook

    hooks = [answering(None), answering(Action.STOP), answering(Action.SAVE)]
    assert call_hooks(hooks, 1, None, None) is Action.STOP
    calls.clear()
    hooks = [answering(Action.SAVE), answering(Action.ROLL_BACK), answering(Action.STOP)]
    assert call_hooks(hooks, 1, None, None) is Action.ROLL_BACK
    assert calls == [Action.SAVE, Action.ROLL_BACK]


def test_an_interruption_reports_at_once():
    reports = Reports(TrainSchedule(100, log_every=10), 0)
    rows = [reports.update(step, {"x": jnp.float32(step)}, now=step == 3) for step in range(1, 12)]
    assert rows[2] == {"step": 3, "x": 2.0}
    assert rows[10] == {"step": 10, "x": 7.0}  # late, and of steps 4 to 10
    assert [row for i, row in enumerate(rows) if i not in (2, 10)] == [None] * 9


def test_profile_traces_some_steps(tmp_path, capsys):
    schedule = TrainSchedule(8)
    trained(tmp_path, schedule, ProfileHook(tmp_path, 2, schedule))
    assert "traced 2 steps" in capsys.readouterr().out
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_profile_of_a_short_run_ends_with_it(tmp_path, capsys):
    schedule = TrainSchedule(2)
    trained(tmp_path, schedule, ProfileHook(tmp_path, 50, schedule))
    assert "traced 1 steps" in capsys.readouterr().out

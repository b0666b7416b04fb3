"""Two processes stop at the same step when one of them gets a signal, and resume from there."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compare_gan.training.checkpoints import Checkpoints

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
from pathlib import Path
from typing import NamedTuple
out, port, index, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=index)
from compare_gan.core.interrupt import Interrupted
from compare_gan.training.loop import Job, run
from compare_gan.training.schedule import TrainSchedule
from tests.training.tiny import blobs

class State(NamedTuple):
    step: jax.Array
    mean: jax.Array

def step(state, batch, rng, shard):
    seen = jnp.mean(batch.images.astype(jnp.float32))
    return State(state.step + 1, 0.9 * state.mean + seen + jax.random.normal(rng)), {"seen": seen}

job = Job("job", lambda rng: State(jnp.int32(0), jax.random.normal(rng)), step, 16)
schedule = TrainSchedule(steps, log_every=5, save_every=50, sample_every=10**6)
try:
    state = run(job, blobs().train, run_dir=out, schedule=schedule, seed=0)
    print("done", int(state.step), np.asarray(state.mean).tobytes().hex())
except Interrupted as stop:
    print(stop)
jax.distributed.shutdown()
"""
MANY = 10**6


def together(folder, steps):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).parents[2]
    return [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, (folder, port, index, steps))],
            env=os.environ | {"PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]


def last_lines(processes):
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return [text.splitlines()[-1] for text in outputs]


@pytest.mark.slow
def test_a_signal_to_one_stops_both_at_the_same_step(tmp_path):
    broken, complete = tmp_path / "broken", tmp_path / "complete"
    processes = together(broken, MANY)
    try:
        while not Checkpoints(broken).steps():
            assert all(process.poll() is None for process in processes), processes[0].communicate()
            time.sleep(0.02)
        processes[1].send_signal(signal.SIGTERM)
        first, second = last_lines(processes)
    finally:
        for process in processes:
            process.kill()
    stopped = Checkpoints(broken).steps()[-1]
    assert first == second == f"job: stopped at step {stopped} of {MANY}, saved in {broken}"
    end = stopped + 5
    continued = last_lines(together(broken, end))
    assert continued == last_lines(together(complete, end)) and continued[0].startswith(f"done {end} ")

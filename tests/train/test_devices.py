"""Several devices give the numbers of one."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import dataclasses, jax, numpy as np
from compare_gan.train.gan import train
from compare_gan.train.loop import Schedule
from compare_gan.train.placement import Placement
from compare_gan.train.writers import read_metrics
from pathlib import Path
import sys
from compare_gan.gans.s3gan import s3gan
from tests.train.tiny import CONDITIONAL, blobs
assert jax.device_count() == 8
gan = s3gan(dataclasses.replace(CONDITIONAL, disc_iters=1), rotated_batch_fraction=2, project_y=True)
out = Path(sys.argv[1])
states, logs = [], []
for count in (1, 8):
    run_dir = out / str(count)
    placement = Placement.over(jax.devices()[:count])
    options = dict(run_dir=run_dir, schedule=Schedule(3, log_every=1), placement=placement)
    states.append(train(gan, blobs().train, **options))
    logs.append([[line["loss/d"], line["loss/g"]] for line in read_metrics(run_dir / "metrics.jsonl")])
np.testing.assert_allclose(*logs, rtol=2e-4, atol=2e-5)
statistics = [jax.tree.leaves(state.g.extra) + jax.tree.leaves(state.d.extra) for state in states]
for a, b in zip(*statistics, strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
print("equal")
"""


def test_one_device_equals_eight(tmp_path):
    root = Path(__file__).parents[2]
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "equal"

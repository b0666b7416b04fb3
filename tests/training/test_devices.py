"""Any number of devices, and any way to share weights among them, gives the numbers of one.

Gradients are compared by what plain gradient descent makes of the weights. Adam divides each by its size,
so that one which is nearly zero and differs in its last digits would move a weight by as much as any.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, jax, numpy as np
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from compare_gan.augmentations.adaptive import ADA, APA
from compare_gan.augmentations.augment_pipe import AugmentPipe
from compare_gan.core.placement import Placement
from compare_gan.regularizers.lecam import LeCam
from compare_gan.gans.optimizers import gradient_descent
from compare_gan.gans.s3gan import s3gan
from compare_gan.tasks.classifier import AC
from compare_gan.tasks.d2d_ce import D2DCE
from compare_gan.tasks.multi_hinge import MH
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.feed import open_feed
from compare_gan.training.gan import job_of
from compare_gan.training.loop import compile_init, compile_step
from tests.helpers.combinations import combination
from tests.training.tiny import CONDITIONAL as small, blobs, noise

def trained(gan, split, devices, fsdp):
    "How weights move in two steps, statistics, what is reported; the state, and how much a device holds."
    placement = Placement.create(jax.devices()[:devices], fsdp, min_shard_size=32)
    job = job_of(gan.with_replicas(devices), False)
    feed = open_feed(split, job, steps=2, seed=0, placement=placement)
    state = compile_init(job, placement)(jax.random.key(0))
    before = jax.device_get(placement.gather((state.g.params, state.d.params)))
    step = compile_step(job, placement, feed.select)
    key = jax.random.key_data(jax.random.key(1))
    for i in range(2):
        state, reported = step(state, feed.data, feed.batch(i), key)
    after = placement.gather((state.g.params, state.d.params))
    moved = jax.tree.map(lambda a, b: np.asarray(b) - np.asarray(a), before, after)
    held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
    return moved, placement.gather((state.g.extra, state.d.extra)), reported, state, held

def close(a, b):
    "To float noise: of each array, and of the largest for those that should not move at all."
    largest = max(np.abs(x).max() for x in jax.tree.leaves(a))
    for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        noise = 1e-4 * np.abs(x).max() + 1e-6 * largest
        np.testing.assert_allclose(x, y, rtol=0, atol=noise, err_msg=str(path))

plain = dict(batch_size=16, g_optimizer_fn=gradient_descent, g_lr=0.02, g_use_ema=True, ema_start_step=1)
biggan = combination("resnet_biggan_arch", "@conditional_batch_norm", "conditional")()
gans = {  # and by how many devices, of which how many share one copy
    "S3GAN": (
        s3gan(replace(small, **plain), rotated_batch_fraction=2, project_y=True),
        blobs().train,
        ((2, 1), (8, 1), (4, 2)),
    ),
    "augmented": (
        replace(
            s3gan(replace(small, **plain), rotated_batch_fraction=2, project_y=True),
            augment=AugmentPipe(),
            augment_probability=ADA(kimg=0.05, interval=1, target=-0.9),
            pseudo_augmentation=APA(kimg=0.1, interval=1, target=-0.9),
            regularizers=(LeCam(start_step=0),),
        ),
        blobs().train,
        ((2, 1), (8, 1)),
    ),
    "class heads": (
        replace(small, **plain, tasks=(AC(aux_cls_type="ADC"), MH(), D2DCE(d_embed_dim=8))),
        noise(small.spec),
        ((2, 1), (8, 1), (4, 2)),
    ),
    "BigGAN": (replace(biggan, **plain | dict(g_lr=0.2)), noise(biggan.spec), ((8, 1), (4, 2))),
}
for name, (gan, split, meshes) in gans.items():
    alone = trained(gan, split, 1, 1)
    moved = [max(np.abs(x).max() for x in jax.tree.leaves(net)) for net in alone[0]]
    assert min(moved) > 1e-3, (name, moved)
    for mesh in meshes:
        found = trained(gan, split, *mesh)
        for a, b in zip(alone[:3], found[:3], strict=True):
            close(a, b)
        assert found[4] < alone[4] * (1 / mesh[1] + 0.15), (name, mesh, found[4], alone[4])
    for saved, template in ((alone[3], found[3]), (found[3], alone[3])):  # whole, or in parts
        folder = Path(sys.argv[1]) / name / str(len(jax.tree.leaves(template)[0].devices()))
        with closing(Checkpoints(folder)) as checkpoints:
            checkpoints.save(2, saved)
            restored = checkpoints.restore(template)
        for a, b, c in zip(*map(jax.tree.leaves, (saved, template, restored)), strict=True):
            assert c.sharding == b.sharding
            np.testing.assert_array_equal(a, c)
print("equal")
"""


def run(program: str, devices: int, *arguments: object) -> subprocess.Popen[str]:
    flags = os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_meshes_equal_one_device(tmp_path):
    with run(PROGRAM, 8, tmp_path) as process:
        out, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-3000:]
    assert out.splitlines()[-1] == "equal"

"""Checkpoints are atomic, written asynchronously, verified when read, and read on any number of devices."""

import contextlib
import dataclasses
import json
import logging
import os
import pickle
import resource
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare_gan.augmentations.adaptive import ADA
from compare_gan.augmentations.diffaugment import DiffAugment
from compare_gan.core.errors import UserError
from compare_gan.regularizers.lecam import LeCam
from compare_gan.training import checkpoints as module
from compare_gan.training.checkpoints import FORMAT, MANIFEST, Checkpoints, digests, find_mismatch
from tests.gans.tiny import tiny_gan

ROOT = Path(__file__).parents[2]


def state(seed, size=64):
    rng = np.random.default_rng(seed)
    return {
        "w": jnp.asarray(rng.normal(size=(size, size)), jnp.float32),
        "half": jnp.asarray(rng.normal(size=7), jnp.bfloat16),
        "step": jnp.int32(seed),
    }


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 3 and 6."""
    checkpoints = Checkpoints(tmp_path, keep=None)
    for step in (3, 6):
        checkpoints.save(step, state(step))
    checkpoints.wait()
    return checkpoints


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "manifest"])
def test_a_damaged_checkpoint_is_quarantined(saved, caplog, harm):
    victim = max((saved.folder / "6").rglob("d/*"), key=lambda path: path.stat().st_size)
    if harm == "manifest":
        victim = saved.folder / "6" / MANIFEST
    data = bytearray(victim.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 255
        victim.write_bytes(data)
    elif harm == "truncate":
        victim.write_bytes(data[: len(data) // 2])
    elif harm == "manifest":
        victim.write_text("[1, 2]")
    else:
        victim.unlink()
    with caplog.at_level(logging.WARNING):
        same(saved.restore(state(0)), state(3))
    assert saved.steps() == [3] and (saved.folder / "6.damaged").is_dir()
    assert "damaged" in caplog.text and victim.name in caplog.text and "\n" not in caplog.messages[0]


def test_the_same_step_may_be_damaged_twice(saved):
    for name in ("6.damaged", "6.damaged1"):
        (saved.folder / "6" / MANIFEST).write_text("{}")
        assert saved.restore_step(6, state(0)) is None
        assert (saved.folder / name).is_dir() and saved.steps() == [3]
        saved.save(6, state(6))
        saved.wait()
    same(saved.restore(state(0)), state(6))


def test_a_checkpoint_that_training_removes_while_it_is_read_is_not_set_aside(saved, monkeypatch, caplog):
    def in_the_meantime(folder):
        (folder / MANIFEST).unlink()
        return digests(folder)

    next((saved.folder / "6").rglob("d/*")).unlink()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(module, "digests", in_the_meantime)
        assert saved.restore_step(6, state(0)) is None
    assert sorted(path.name for path in saved.folder.iterdir()) == ["3", "6"]
    assert "6 was removed while it was being read" in caplog.text


def test_old_checkpoints_and_unfinished_ones_go(tmp_path):
    folder = tmp_path / "checkpoints"
    for name in ("1.orbax-checkpoint-tmp", "7"):  # killed while writing, and before the manifest
        (folder / name / "d").mkdir(parents=True)
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.restore(state(0)) is None
    for step in (1, 2, 3):
        checkpoints.save(step, state(step))
    assert checkpoints.steps() == [2, 3]
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]


def test_a_step_that_is_there_is_not_written_again(saved):
    before = {path: path.stat().st_mtime_ns for path in saved.folder.rglob("*")}
    saved.save(6, state(7))
    saved.close()
    assert before == {path: path.stat().st_mtime_ns for path in saved.folder.rglob("*")}


def test_what_is_written_is_the_state_of_the_save_though_its_memory_is_used_again(tmp_path):
    onward = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    checkpoints, here = Checkpoints(tmp_path, keep=None), state(1, 1000)
    for step in range(1, 4):
        checkpoints.save(step, here)
        for _ in range(5):
            here = onward(here)
    checkpoints.wait()
    for step in range(1, 4):
        expected = jax.tree.map(lambda x: x, state(1, 1000))
        for _ in range(5 * (step - 1)):
            expected = onward(expected)
        same(checkpoints.read(step, state(0, 1000)), expected)


def test_a_save_returns_before_it_is_done_and_counts_when_it_is(tmp_path, monkeypatch):
    going_on = threading.Event()

    def held_up(folder):
        assert going_on.wait(60)
        return digests(folder)

    monkeypatch.setattr(module, "digests", held_up)
    checkpoints, another = Checkpoints(tmp_path), Checkpoints(tmp_path)
    checkpoints.save(5, state(5))
    checkpoints.poll()
    assert another.steps() == []  # a process killed now leaves nothing that counts
    going_on.set()
    assert checkpoints.steps() == another.steps() == [5]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # TensorStore's other writes
def test_a_failed_write_is_reported_and_keeps_earlier_checkpoints(saved):
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, most))
    try:
        saved.save(9, state(9, 1000))  # 4 MB
        with pytest.raises(UserError, match="checkpoints/9: write failed .File too large.; ") as caught:
            saved.steps()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in saved.folder.iterdir()) == ["3", "6"]
    same(saved.restore(state(0)), state(6))
    saved.save(9, state(9, 1000))
    assert saved.steps() == [3, 6, 9]


def test_the_best_is_what_is_there(saved):
    saved.mark_best(3, 0.5)
    assert saved.best() == (3, 0.5)
    (saved.folder / "3" / MANIFEST).write_text("{}")
    assert saved.restore_step(3, state(0)) is None and saved.best() is None


def test_a_newer_format_is_refused_and_the_first_is_read(saved):
    manifest = saved.folder / "6" / MANIFEST
    content = json.loads(manifest.read_text())
    assert content["format"] == FORMAT
    manifest.write_text(json.dumps(content["sha256"]))  # as the first format was
    same(saved.restore(state(0)), state(6))
    manifest.write_text(json.dumps(content | {"format": FORMAT + 1}))
    with pytest.raises(UserError, match=f"6: has format {FORMAT + 1}, .* update compare_gan") as caught:
        saved.restore(state(0))
    assert "\n" not in str(caught.value) and saved.steps() == [3, 6]


def test_adaptive_parts_that_a_checkpoint_lacks_start_again(tmp_path, caplog):
    """A run of an earlier version, or one that continues with ADA; parts that are gone are forgotten."""
    lecam, ada = LeCam(), ADA()
    gans = {
        "plain": tiny_gan(),
        "lecam": tiny_gan(regularizers=(lecam,)),
        "both": tiny_gan(augment=DiffAugment(), augment_probability=ada, regularizers=(lecam,)),
    }
    states = {name: jax.jit(gan.init)(jax.random.key(0)) for name, gan in gans.items()}
    trained = {"lecam": {"real": jnp.float32(0.25), "fake": jnp.float32(-0.5)}}
    trained["ada"] = {name: jnp.float32(0.125 * (i + 1)) for i, name in enumerate(ada.init())}
    for name, state in states.items():
        state = dataclasses.replace(
            jax.tree.map(lambda x: x + 1, state), adaptive={part: trained[part] for part in state.adaptive}
        )
        checkpoints = Checkpoints(tmp_path / name)
        checkpoints.save(1, state)
        for other, template in states.items():
            caplog.clear()
            found = checkpoints.restore(template)
            same(dataclasses.replace(found, adaptive={}), dataclasses.replace(state, adaptive={}))
            kept = {part: trained[part] for part in state.adaptive}
            assert found.adaptive == {
                part: kept.get(part, template.adaptive[part]) for part in template.adaptive
            }
            new = [part for part in template.adaptive if part not in state.adaptive]
            assert len(caplog.messages) == len(new), (name, other)
            for part, message in zip(new, caplog.messages, strict=True):
                assert message.endswith(f"checkpoints/1 has no state of {part}, which starts again")
            assert find_mismatch(checkpoints.folder / "1", template) is None


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_from_elsewhere_runs_no_code(saved, tmp_path):
    """Pickles and Python files in all places, with a manifest that vouches for them."""
    went_off = tmp_path / "went-off"
    bomb = pickle.dumps(Bomb(went_off))
    pickle.loads(bomb)
    assert went_off.exists()  # it works
    went_off.unlink()
    folder = saved.folder / "6"

    def vouch():
        (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "sha256": digests(folder)}))

    for name in ("state.pkl", "default.pickle", "d/0.pkl"):
        (folder / name).write_bytes(bomb)
    for name in ("__init__.py", "conftest.py", "sitecustomize.py"):
        (folder / name).write_text(f"import pathlib; pathlib.Path({str(went_off)!r}).touch()\n")
    vouch()
    same(saved.restore(state(0)), state(6))
    for path in [p for p in folder.rglob("*") if p.is_file() and p.name.startswith("_")]:  # JSON
        before = path.read_bytes()
        path.write_bytes(bomb)
        vouch()
        with contextlib.suppress(Exception):
            saved.restore(state(0))
        path.write_bytes(before)
    (folder / "checkpoint").write_bytes(bomb)  # the name of an old format of Orbax, which it still reads
    vouch()
    with pytest.raises(UserError, match="does not match"):
        saved.restore(state(0))
    assert not went_off.exists()


DEVICES = """
import sys
import jax, jax.numpy as jnp, numpy as np
from pathlib import Path
from jax.sharding import NamedSharding, PartitionSpec
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.core.placement import Placement
out = Path(sys.argv[1])
values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
def whole(count):
    return Placement.create(jax.devices()[:count]).replicated
def split(count):
    return NamedSharding(Placement.create(jax.devices()[:count]).mesh, PartitionSpec("data"))
layouts = [whole(1), whole(2), whole(4), split(2), split(4)]
for i, layout in enumerate(layouts):
    checkpoints = Checkpoints(out / str(i))
    checkpoints.save(1, {"x": jax.device_put(values, layout)})
    for other in layouts:
        found = checkpoints.restore({"x": jax.device_put(np.zeros_like(values), other)})["x"]
        assert found.sharding == other and found.dtype == values.dtype
        assert np.asarray(found).tobytes() == values.tobytes()
    checkpoints.close()
print("equal")
"""


@pytest.mark.slow
def test_any_number_of_devices_reads_what_any_number_wrote(tmp_path):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", DEVICES, str(tmp_path)],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "equal"

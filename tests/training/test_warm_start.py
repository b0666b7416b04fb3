"""Training that starts from the weights of another run."""

import contextlib
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import compare_gan as cg
from compare_gan.core.errors import UserError
from compare_gan.core.run_files import ABOUT, CHECKPOINTS, EXPORT_METADATA
from compare_gan.core.types import ImageSpec
from compare_gan.gans.ssgan import ssgan
from compare_gan.gans.transfer import NamedGAN
from compare_gan.training.checkpoints import Checkpoints, manifest_sha256
from compare_gan.training.warm_start import WarmStart
from tests.helpers.commands import bindings, config, refused
from tests.training.tiny import BASE, blobs

GAN = dataclasses.replace(BASE, ema_start_step=0)
SCHEDULE = cg.TrainSchedule(3, log_every=1, sample_every=10, save_every=2, keep_checkpoints=None)


def train(folder, steps=3, gan=GAN, **more):
    schedule = dataclasses.replace(SCHEDULE, steps=steps)
    return cg.train(gan, blobs(), folder, schedule=schedule, tensorboard=False, **more)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "source")


@pytest.fixture(scope="module")
def warm(source):
    return train(source.run_dir.parent / "warm", seed=1, warm_start=source.run_dir, from_step=2)


def leaves(state):
    return [np.asarray(x) for x in jax.tree.leaves(state)]


def test_the_first_images_are_those_of_the_source(source, warm):
    np.testing.assert_array_equal(warm.sample(8, step=0), source.sample(8, step=2))
    assert np.any(warm.sample(8, step=0) != source.sample(8, step=3))
    old, new = source.restore(2), warm.restore(0)
    for part in ("g", "d", "g_ema"):
        for a, b in zip(leaves(getattr(old, part)), leaves(getattr(new, part)), strict=True):
            np.testing.assert_array_equal(a, b)
    assert int(new.step) == 0 and not any(np.any(x) for x in leaves((new.g_opt, new.d_opt)))


@pytest.mark.slow
def test_the_moving_average_goes_on_from_the_loaded_one(source, warm):
    start, one = source.restore(2).g_ema, warm.restore(2)
    assert int(one.step) == 2
    shift = [np.abs(a - b).max() for a, b in zip(leaves(start), leaves(one.g_ema), strict=True)]
    moved = [np.abs(a - b).max() for a, b in zip(leaves(start), leaves(one.g.params), strict=True)]
    assert max(shift) < 0.1 * max(moved)


def test_run_json_names_the_source(source, warm):
    about = json.loads((warm.run_dir / ABOUT).read_text())
    assert about["warm_start"] == {
        "run": str(source.run_dir),
        "from_step": "2",
        "step": 2,
        "sha256": manifest_sha256(source.run_dir, 2),
    }
    assert "warm_start" not in json.loads((source.run_dir / ABOUT).read_text())


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits_without_its_source(source, warm, tmp_path):
    copy = tmp_path / "source"
    shutil.copytree(source.run_dir, copy)

    class Stop:
        def __call__(self, step, state, metrics):
            if step == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", seed=1, warm_start=copy, from_step=2, hooks=[Stop()])
    assert [path.name for path in (tmp_path / "run" / CHECKPOINTS).iterdir()] == ["0"]
    shutil.rmtree(copy)
    resumed = train(tmp_path / "run", seed=1, warm_start=copy, from_step=2)
    for a, b in zip(leaves(warm.restore()), leaves(resumed.restore()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_start_is_refused(source, warm, tmp_path):
    again = dict(seed=1, warm_start=source.run_dir, from_step=2)
    train(warm.run_dir, **again)
    moved = tmp_path / "moved"
    shutil.copytree(source.run_dir, moved)
    train(warm.run_dir, **again | {"warm_start": moved})  # the same checkpoint
    for changed, message in (
        ({"from_step": 3}, "its run started from .*source, step 2, not from .*source, step 3"),
        ({"warm_start": None}, "its run started from .*source; add --from .*source --from_step 2"),
    ):
        with pytest.raises(UserError, match=message):
            train(warm.run_dir, **again | changed)
    with pytest.raises(UserError, match="its run did not start from another one"):
        train(source.run_dir, warm_start=warm)


def test_what_is_no_source_is_refused_before_the_run_begins(source, tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / EXPORT_METADATA).write_text("{}")
    gray = dataclasses.replace(GAN, spec=ImageSpec((8, 8, 1), 4))
    for given, message in (
        ({"warm_start": tmp_path / "export"}, "an export has no weights for training"),
        ({"warm_start": tmp_path / "none"}, "not a run folder"),
        ({"warm_start": tmp_path / "run"}, "cannot start from itself"),
        ({"warm_start": source, "from_step": 7}, "no checkpoint of step 7"),
        ({"warm_start": source, "from_step": "best"}, "the best step is unknown"),
        ({"warm_start": dataclasses.replace(source, gan=gray)}, "its images are 8x8x1, and here 8x8x3"),
        ({"gan": dataclasses.replace(GAN, z_dim=9), "warm_start": source}, "its array fc_noise/kernel"),
        ({"gan": dataclasses.replace(GAN, freeze_d_layers=1)}, "freezes weights that nothing has trained"),
    ):
        with pytest.raises(UserError, match=message):
            train(tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_the_command_refuses_what_is_no_source(tmp_path, capsys):
    words = ["train", "--model_dir", tmp_path / "run", *config(), *bindings()]
    refused(capsys, [*words, "--from_step", "3"], "--from_step needs --from")
    refused(capsys, [*words, "--from", tmp_path / "none"], "none: not a run folder")
    refused(capsys, [*words, "--from", tmp_path / "run"], "cannot start from itself")
    assert not (tmp_path / "run").exists()


def test_the_line_says_what_was_taken(source, tmp_path, capsys):
    gan = dataclasses.replace(ssgan(GAN, rotated_batch_size=16), ema_start_step=5)
    start = WarmStart.plan(source.run_dir, 3, NamedGAN(source.gan, ()), NamedGAN(gan, ()))
    fresh = jax.jit(gan.init)(jax.random.key(1))
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        state = start.begin(gan, fresh, checkpoints, cg.Placement.create())
        assert checkpoints.steps() == [0]
    line = capsys.readouterr().out
    assert line.startswith(f"starting from {source.run_dir}, step 3: ") and line.count("\n") == 1
    assert "newly initialised: discriminator heads/rotation/bias, discriminator heads/rotation/kernel" in line
    assert "the moving average is a copy of the weights until step 5" in line
    for a, b in zip(leaves(source.restore(3).g), leaves(state.g), strict=True):
        np.testing.assert_array_equal(a, b)

"""Two processes do the work of one, and one of them writes it down."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.files import read_log
from compare_gan.evaluation.scores import read_scores
from compare_gan.main import main
from compare_gan.training.checkpoints import Checkpoints

ROOT = Path(__file__).parents[2]
CONFIG = """
dataset.name = "blobs"
options.architecture = "resnet_small_arch"
options.gan_class = @S3GAN
options.batch_size = 16
options.training_steps = 4
options.z_dim = 8
ModularGAN.conditional = True
ModularGAN.g_optimizer_fn = @tf.train.GradientDescentOptimizer
ModularGAN.g_lr = 0.02
S3GAN.project_y = True
S3GAN.rotated_batch_fraction = 2
resnet_small.Generator.ch = 4
resnet_small.Discriminator.ch = 4
loss.fn = @hinge
G.batch_norm_fn = @conditional_batch_norm
standardize_batch.use_moving_averages = False
run_config.save_checkpoints_steps = 2
"""
BIGGAN = """
dataset.name = "noise"
options.architecture = "resnet_biggan_arch"
options.gan_class = @ModularGAN
options.batch_size = 16
options.training_steps = 2
options.z_dim = 20
ModularGAN.conditional = True
ModularGAN.g_optimizer_fn = @tf.train.GradientDescentOptimizer
ModularGAN.g_lr = 0.02
resnet_biggan.Generator.ch = 4
resnet_biggan.Discriminator.ch = 4
resnet_biggan.Discriminator.project_y = True
loss.fn = @hinge
G.batch_norm_fn = @conditional_batch_norm
G.spectral_norm = True
D.spectral_norm = True
run_config.save_checkpoints_steps = 2
"""
PROGRAM = """
import functools, sys
from compare_gan.core.placement import Placement
from compare_gan.main import main
Placement.create = functools.partial(Placement.create, min_shard_size=32)  # splits small arrays, too
sys.exit(main(sys.argv[1:]))
"""


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def train(tmp_path):
    (tmp_path / "a.gin").write_text(CONFIG)
    scored = ["--eval_every_steps", "4", "--extractor", "random", "--metrics", "frechet_distance"]
    few = ["--images", "60", "--statistics_examples", "64", "--num_eval_averaging_runs", "1"]
    return ["train", "--gin_config", str(tmp_path / "a.gin"), "--sample_every", "2", *scored, *few]


def pair(*words: str) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each of two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    together = ["--distributed", "--coordinator", address, "--processes", "2", "--process"]
    started = [start(*words, *together, str(i)) for i in range(2)]
    outputs = [process.communicate(timeout=600) for process in started]
    return [(process.returncode, *each) for process, each in zip(started, outputs, strict=True)]


def written(run_dir) -> list[str]:
    """The files of a run besides checkpoints; names of event files hold the time, which is left out."""
    files = (path.relative_to(run_dir) for path in run_dir.rglob("*.*"))
    kept = (path for path in files if "checkpoints" not in path.parts)
    return sorted(str(path.with_name("tfevents") if "tfevents" in path.name else path) for path in kept)


@pytest.mark.slow
def test_two_processes_that_share_one_copy_train_as_one(tmp_path, train):
    with start(*train, "--model_dir", str(tmp_path / "one")) as alone:
        assert alone.wait(timeout=600) == 0, alone.stderr.read()[-3000:]
    (code, out, errors), (other_code, other_out, other_errors) = pair(
        *train, "--fsdp", "2", "--model_dir", str(tmp_path / "two")
    )
    assert (code, other_code) == (0, 0), errors[-3000:] + other_errors[-3000:]
    assert out.splitlines()[-1] == f"trained: {tmp_path / 'two'}" and "trained" not in other_out

    assert written(tmp_path / "one") == written(tmp_path / "two")
    for a, b in zip(*(read_log(tmp_path / n / "metrics.jsonl") for n in ("one", "two")), strict=True):
        assert a["step"] == b["step"]
        for name in a.keys() - {"step", "seconds"}:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5, err_msg=name)
    (a,), (b,) = (read_scores(tmp_path / n) for n in ("one", "two"))
    assert a["step"] == b["step"] == "4" and a["fingerprint"] == b["fingerprint"]
    np.testing.assert_allclose(float(a["frechet_distance"]), float(b["frechet_distance"]), rtol=1e-3)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["data"] == "blobs"
    assert Checkpoints(tmp_path / "two").steps() == [2, 4]
    for name in ("samples/000004.png", "interpolations/000004.png"):
        pictures = (np.asarray(Image.open(tmp_path / n / name), np.int32) for n in ("one", "two"))
        assert np.abs(np.subtract(*pictures)).max() <= 1  # of 255


@pytest.mark.slow
def test_two_processes_with_a_copy_each_train_biggan_as_one(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (32, 32, 32, 3), np.uint8), np.arange(32) % 4
    np.savez(tmp_path / "noise.npz", images=images, labels=labels)
    (tmp_path / "a.gin").write_text(BIGGAN)
    words = ["train", "--gin_config", str(tmp_path / "a.gin"), "--data", str(tmp_path / "noise.npz")]
    with start(*words, "--model_dir", str(tmp_path / "one")) as alone:
        assert alone.wait(timeout=600) == 0, alone.stderr.read()[-3000:]
    (code, _, errors), (other_code, _, other_errors) = pair(*words, "--model_dir", str(tmp_path / "two"))
    assert (code, other_code) == (0, 0), errors[-3000:] + other_errors[-3000:]
    (a,), (b,) = (read_log(tmp_path / n / "metrics.jsonl") for n in ("one", "two"))
    for name in a.keys() - {"seconds"}:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5, err_msg=name)
    one, two = (
        np.asarray(Image.open(tmp_path / n / "samples" / "000002.png"), np.int32) for n in ("one", "two")
    )
    assert np.abs(one - two).max() <= 1  # of 255


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--process", "1"], "--process needs --distributed"),
        (["--distributed", "--process", "1"], "give --coordinator, --processes and --process together"),
        (
            ["--distributed", "--coordinator", "a:1", "--processes", "2", "--process", "2"],
            "it must be from 0 to 1",
        ),
        (
            ["--distributed", "--coordinator", "a", "--processes", "2", "--process", "1"],
            "it must be HOST:PORT",
        ),
        (
            ["--distributed", "--coordinator", "a.invalid:1", "--processes", "2", "--process", "1"],
            "--coordinator a.invalid:1: no such address",
        ),
        (["--fsdp", "3"], "--fsdp is 3; it must divide the 1 devices"),
    ],
)
def test_errors_are_reported_in_one_line(tmp_path, train, capsys, words, message):
    assert main([*train, "--model_dir", str(tmp_path / "run"), *words]) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_without_a_cluster_it_says_so(tmp_path, train):
    with start(*train, "--model_dir", str(tmp_path / "run"), "--distributed") as process:
        errors = process.communicate(timeout=300)[1]
    assert process.returncode == 2
    assert "the environment describes no cluster; give --coordinator HOST:PORT" in errors.splitlines()[-1]


@pytest.mark.slow
def test_a_process_that_stays_alone_gives_up_with_a_word():
    program = "from compare_gan.core.processes import connect; connect({!r}, 2, 1, timeout_s=1)"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-c", program.format(address)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "compare-gan: --distributed: timed out waiting for all processes at 127.0.0.1"
    )

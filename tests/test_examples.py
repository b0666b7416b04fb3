"""The programs in `examples` run as their first lines say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.slow


def start(*words) -> subprocess.CompletedProcess:
    """Runs Python in the folder of the examples, which is on the path."""
    environment = os.environ | {"PYTHONPATH": f"{EXAMPLES}{os.pathsep}{ROOT}"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, text=True)


def run(*words) -> str:
    """Like `start`, but must succeed; returns what is printed."""
    done = start(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "run"
    options = ["--gin_config", "own_parts.gin", "--data", "digits", "--model_dir", folder]
    few = ["--gin_bindings", "options.training_steps = 2", "--sample_every", 2]
    run("-m", "compare_gan.main", "train", *options, *few)
    return folder


def test_a_configuration_uses_parts_of_a_file_of_the_user(own_run):
    written = (own_run / "operative_config.gin").read_text()
    for line in ("import own_parts", "loss.fn = @relativistic_average", "own_parts.Generator.ch = 32"):
        assert line in written
    first = json.loads((own_run / "metrics.jsonl").read_text().splitlines()[0])
    assert {"loss/upside_down_real", "loss/upside_down_fake"} <= first.keys()


def test_the_run_opens_where_the_import_is_allowed(own_run, tmp_path):
    options = ["sample", own_run, "--count", 4, "--out", tmp_path / "samples"]
    refused = start("-m", "compare_gan.main", *options)
    assert refused.returncode == 2 and "--allow_imports" in refused.stderr and "own_parts" in refused.stderr
    run("-m", "compare_gan.main", *options, "--allow_imports", "own_parts")
    assert len(list((tmp_path / "samples").glob("*.png"))) == 4


LOSSES_OF_EQUAL_LOGITS = """
import jax.numpy as jnp
import numpy as np
from compare_gan.core.types import DiscriminatorOut, Labeled, SideOutputs
from own_parts import UpsideDown, relativistic_average

print(*relativistic_average(jnp.full(4, 3.0), jnp.full(4, 3.0)))
task, images = UpsideDown(), np.arange(4.0).reshape(1, 2, 2, 1)
assert task.extra_views(Labeled(images, None), 'real', None).images.ravel().tolist() == [2, 3, 0, 1]
out = DiscriminatorOut(jnp.zeros(1), jnp.zeros((1, 8)), {})
out = task.score(lambda features, train: jnp.zeros((1, 1)), out, None, True)
print(*task.loss(SideOutputs(out, out), SideOutputs(out, out), None, None)[0])
"""


def test_losses_of_the_users_parts_where_logits_tell_nothing():
    """The closed forms at equal logits: 2 log 2 for both players; log 2 for the task, times its weights."""
    found = [float(word) for word in run("-c", LOSSES_OF_EQUAL_LOGITS).split()]
    np.testing.assert_allclose(found, np.array([2, 2, 1, 0.2]) * np.log(2), rtol=1e-5)


def test_a_loop_of_ones_own_trains_and_draws_samples(tmp_path):
    printed = run("own_loop.py", "--steps", 100, "--out", tmp_path / "samples.png")
    assert "step 100: " in printed
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (8 * 8, 10 * 8) and np.asarray(picture).std() > 20

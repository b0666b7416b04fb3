"""The commands `compare-gan export` and `compare-gan sample`."""

import base64
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export
from PIL import Image

from compare_gan.commands.explore import of_export, of_run
from compare_gan.config.parse import parse
from compare_gan.core.errors import UserError
from compare_gan.core.files import sha256_of
from compare_gan.data import open_dataset
from compare_gan.evaluation.scores import read_scores
from compare_gan.explore.views import VIEWS
from compare_gan.export.card import training_facts
from compare_gan.export.folder import open_sampler, read_metadata
from compare_gan.export.loader import load
from compare_gan.features import open_extractor
from compare_gan.gans.inference import sample
from compare_gan.gans.standing import with_standing_stats
from compare_gan.main import main, parser
from compare_gan.runs import open_run
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.run_dir import describe_run
from tests.gans.tiny import random_state
from tests.helpers.commands import bindings, config, refused

ROOT = Path(__file__).parents[2]
FEW = ("--statistics_examples", "256")


def run_command(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """Four steps of S3GAN, with averaged weights and accumulated statistics, scored at the end."""
    folder = tmp_path_factory.mktemp("export") / "run"
    words = ["train", *config("s3gan"), "--model_dir", folder, "--data", "blobs", "--extractor", "random"]
    words += bindings(
        "options.training_steps = 4",
        "run_config.save_checkpoints_steps = 100",
        "standardize_batch.use_moving_averages = False",
        "ModularGAN.ema_start_step = 1",
        "ModularGAN.ema_decay = 0.9",
    )
    words += ["--eval_every_steps", "4", "--images", "20", "--num_eval_averaging_runs", "1", *FEW]
    run_command(*words, "--metrics", "frechet_distance")
    return folder


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "blobs"
    run_command("export", run_dir, "--out", out, *FEW)
    return out


def elsewhere(code, cwd, *blocked):
    """Runs Python code where some packages cannot be imported."""
    finder = (
        "import sys, importlib.abc\n"
        "class Blocked(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if any(name == b or name.startswith(b + '.') for b in {blocked!r}):\n"
        "            raise ImportError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", finder + code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=-1,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_same_bytes_from_the_run_and_from_the_export(run_dir, exported, tmp_path):
    for name in ("x.png", "x.npz"):
        run_command("sample", run_dir, "--out", tmp_path / f"run-{name}", "--columns", 3, "--seed", 5, *FEW)
    blocked = [f"compare_gan.{part}" for part in ("gans", "training", "data", "config", "nn", "evaluation")]
    code = "from compare_gan.main import main\n"
    for name in ("x.png", "x.npz"):
        words = ["sample", str(exported), "--out", f"export-{name}", "--columns", "3", "--seed", "5"]
        code += f"assert main({words!r}) == 0\n"
    elsewhere(code, tmp_path, *blocked, "flax", "optax", "orbax", "gin", "grain", "safetensors")
    for name in ("x.png", "x.npz"):
        assert (tmp_path / f"run-{name}").read_bytes() == (tmp_path / f"export-{name}").read_bytes()
    with np.load(tmp_path / "run-x.npz") as arrays, Image.open(tmp_path / "run-x.png") as picture:
        images, labels, pixels = arrays["images"], arrays["labels"], np.asarray(picture)
    assert images.shape == (12, 8, 8, 3) and images.dtype == np.uint8 and picture.size == (24, 32)
    assert labels.tolist() == [0, 1, 2, 3] * 3
    np.testing.assert_array_equal(pixels[8:16, 16:24], images[9])  # class 1, third column


class Recorder:
    """The random extractor; it records the images that it gets."""

    def __init__(self):
        self.extractor, self.seen = open_extractor("random"), []
        self.name, self.class_names = "recorder", self.extractor.class_names
        self.sha256 = self.extractor.sha256

    def __call__(self, images, batch_size=None):
        self.seen.append(np.asarray(images[:]))
        return self.extractor(images)


@pytest.mark.parametrize("truncation", [None, pytest.param(0.7, marks=pytest.mark.slow)])
def test_samples_are_the_scored_images_and_those_of_the_export(truncation, run_dir, exported, tmp_path):
    """Statistics are accumulated in this run, so they too must be the same. There are two scored sets."""
    run, recorder = open_run(run_dir), Recorder()
    options = {"images": 20, "runs": 2, "seed": 5, "statistics_examples": 256, "truncation": truncation}
    row = run.evaluate(["frechet_distance"], extractor=recorder, score_filename="other.csv", **options)
    assert len(row["frechet_distance_list"].split("_")) == 2 and row["truncation"] == truncation
    for seed in (5, 6):
        sampled = run.sample(20, seed=seed, statistics_examples=256, truncation=truncation)
        scored = [images for images in recorder.seen if images.shape == sampled.shape]
        assert sum(np.array_equal(sampled, images) for images in scored) == 1
        from_export, labels = open_sampler(exported).images(20, seed, truncation=truncation)
        np.testing.assert_array_equal(from_export, sampled)
        assert labels.tolist() == [0, 1, 2, 3] * 5
    words = [] if truncation is None else ["--truncation", truncation]
    out = tmp_path / "x.npz"
    run_command("sample", run_dir, "--out", out, "--per-class", 5, "--seed", 6, *words, *FEW)
    with np.load(out) as arrays:
        np.testing.assert_array_equal(arrays["images"], sampled)


def test_scores_are_returned_as_they_are_stored(run_dir):
    run, options = open_run(run_dir), {"extractor": "random", "images": 20, "runs": 1}
    options |= {"statistics_examples": 256, "score_filename": "mine.csv"}
    first = run.evaluate(["frechet_distance"], **options)
    again = run.evaluate(["frechet_distance"], step=4, **options)  # read from the file
    assert first == again and first["step"] == 4 and first["frechet_distance"] > 0
    in_memory = dataclasses.replace(run, dataset=open_dataset("blobs"))
    more = in_memory.evaluate(["kid_score"], step="best", **options)
    assert more["fingerprint"] == first["fingerprint"] and "frechet_distance" not in more
    (row,) = read_scores(run_dir, "mine.csv")
    assert row["frechet_distance"] and row["kid_score"]
    (training,) = read_scores(run_dir)  # the same protocol, so the same score
    assert training["frechet_distance"] == row["frechet_distance"]


def test_a_label_selects_the_class_of_samples(run_dir, exported):
    run, sampler = open_run(run_dir), open_sampler(exported)
    name = run.about["class_names"][2]
    expected, labels = sampler.images(3, 1, [2])
    assert labels.tolist() == [2, 2, 2]
    for label in (2, name, [2]):
        np.testing.assert_array_equal(run.sample(3, label=label, seed=1, statistics_examples=256), expected)
    with pytest.raises(UserError, match="label 4: no such class; there are 4 classes, from 0"):
        run.sample(3, label=4, statistics_examples=256)


def test_features_of_the_discriminator_are_those_of_the_exported_program(run_dir, exported):
    images = open_dataset("blobs").test.images[:10]
    features = open_run(run_dir).discriminator_features(images)
    outputs = load(exported, "discriminator")(images.astype(np.float32) / 255, np.zeros((10, 4), np.float32))
    assert features.dtype == np.float32 and features.std() > 0
    np.testing.assert_allclose(features, outputs["features"], rtol=1e-4, atol=1e-5)
    for wrong in (images[:, :4], images / 255):
        with pytest.raises(UserError, match=r"takes uint8 images \[N, 8, 8, 3\], not"):
            open_run(run_dir).discriminator_features(wrong)


def test_exports_of_older_versions_do_not_describe_their_prior(exported, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    assert read_metadata(folder).prior == {"name": "normal", "stddev": 1.0, "mean": 0.0}
    edit(folder / "export.json", prior="gone")
    run_command("sample", folder, "--out", tmp_path / "x.npz", "--per_class", 1)
    capsys.readouterr()
    words = ["sample", folder, "--out", tmp_path / "y.npz", "--truncation", "0.5"]
    refused(capsys, words, "this export does not describe its prior; export the run again")


def test_the_export_is_the_average_with_accumulated_statistics(run_dir, exported):
    run = open_run(run_dir)
    gan, state = run.gan, run.restore()
    assert not gan.layers.batch.use_moving_averages
    state = with_standing_stats(gan, state, jax.random.key(0), 256)
    z = np.random.RandomState(0).standard_normal((6, gan.z_dim)).astype(np.float32)
    y = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
    generator = load(exported, "generator")
    np.testing.assert_allclose(generator(z, y), jax.jit(lambda *a: sample(gan, *a))(state, z, y), atol=2e-6)


def test_the_loader_of_the_documentation_needs_only_jax(exported, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)
    code = "\n".join(blocks) + "\nnp.savez('x.npz', images=images, logits=logits)\n"
    code += "assert images.shape == (16, 8, 8, 3) and str(images.dtype) == 'float32'\n"
    script = "import os\n" + code.replace('load(".", part)', f"load({str(exported)!r}, part)")
    assert script.count(str(exported)) == 1
    elsewhere(script, tmp_path, "compare_gan", "flax", "safetensors", "optax", "orbax")
    run_command("sample", exported, "--out", tmp_path / "same.npz", "--columns", "4")
    with np.load(tmp_path / "x.npz") as by_hand, np.load(tmp_path / "same.npz") as ours:
        np.testing.assert_allclose(by_hand["images"], ours["images"] / 255, atol=0.51 / 255)
        assert np.isfinite(by_hand["logits"]).all()


def test_the_documentation_shows_the_loader():
    text = (ROOT / "docs" / "export.md").read_text()
    loader = (ROOT / "compare_gan" / "export" / "loader.py").read_text()
    assert loader in text
    assert len([line for line in loader.splitlines() if line.strip() and '"""' not in line]) <= 20


def test_the_card_describes_run_and_scores(run_dir, exported):
    about, card = read_metadata(exported), (exported / "README.md").read_text()
    assert (about.step, about.num_classes, about.image_shape) == (4, 4, (8, 8, 3))
    assert about.averaged_weights and about.batch_statistics == "accumulated over 256"
    assert about.heads == ("rotation",) and about.method == "S3GAN"
    (row,) = read_scores(run_dir)
    assert f"`{row['fingerprint']}`" in card and f"{float(row['frechet_distance']):.6g}" in card
    assert "ModularGAN.g_use_ema = True" in card and "| data | blobs |" in card and "| seed | 0 |" in card
    assert "licence of the training data" in card
    with Image.open(exported / "samples.png") as picture:
        assert picture.size == (10 * 8, 4 * 8)
    assert not re.findall(rb"/\S+/\S+\.py", b"".join(path.read_bytes() for path in exported.iterdir()))


def test_a_card_names_files_without_their_folders():
    run = {"data": "/home/someone/birds", "labels": {"choice": "clusters:/home/x/c.npz", "sha256": "ab12"}}
    expected = {"data": "birds", "labels": "clusters:c.npz, SHA-256 ab12", "seed": 0}
    assert training_facts({**run, "seed": 0, "fraction": None, "labelled_only": False}) == expected
    assert training_facts({"data": "digits", "labels": {"choice": "random:3"}}) == {
        "data": "digits",
        "labels": "random:3",
    }


@pytest.mark.slow
def test_an_export_in_the_run_folder_without_scores_or_classes(tmp_path):
    parsed = parse(config()[1::2], bindings("options.training_steps = 1")[1::2])
    blobs = open_dataset("blobs")
    describe_run(tmp_path, blobs, parsed.operative_config, {"data": "blobs", "seed": 0})
    checkpoints = Checkpoints(tmp_path)
    state = random_state(parsed.gan(blobs.spec))
    for step in (0, 1):
        checkpoints.save(step, dataclasses.replace(state, step=jax.numpy.int32(step)))
    checkpoints.mark_best(0, 1.0)
    checkpoints.close()
    for _ in range(2):  # the second takes the place of the first
        run_command("export", tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert read_metadata(tmp_path / "export").step == 1
    assert "Step 1 has no scores." in (tmp_path / "export" / "README.md").read_text()
    for source, name in ((tmp_path, "a.png"), (tmp_path / "export", "b.png")):
        run_command("sample", source, "--out", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert read_metadata(tmp_path / "export").num_classes == 0
    run_command("export", tmp_path, "--step", "best")
    assert read_metadata(tmp_path / "export").step == 0


def spoil(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit(path, **changes):
    about = json.loads(path.read_text())
    path.write_text(
        json.dumps({name: value for name, value in {**about, **changes}.items() if value != "gone"})
    )


def call_strange_code(path):
    """Replaces a program by one that calls native code, and updates its SHA-256."""
    strange = jax.ffi.ffi_call("strange", jax.ShapeDtypeStruct((12, 8), np.float32))
    checks = [export.DisabledSafetyCheck.custom_call("strange")]
    make = export.export(jax.jit(lambda w, seed, numbers: strange(numbers)), disabled_checks=checks)
    shapes = ({}, jax.ShapeDtypeStruct((), np.uint32), jax.ShapeDtypeStruct((12,), np.int32))
    path.write_bytes(make(*shapes).serialize())
    approve(path)


def scramble(path):
    path.write_bytes(b"no program")
    approve(path)


def approve(path):
    files = json.loads(path.with_name("export.json").read_text())["files"]
    edit(path.with_name("export.json"), files={**files, path.name: sha256_of(path)})


@pytest.mark.parametrize(
    "name, damage, expected",
    [
        ("generator.safetensors", spoil, "generator.safetensors: damaged"),
        ("generator.jax", spoil, "generator.jax: damaged"),
        ("sampler.jax", Path.unlink, "sampler.jax: cannot be read"),
        ("sampler.jax", call_strange_code, "refused, the program has side effects (custom_call @strange)"),
        ("generator.jax", scramble, "generator.jax: this version of jax cannot read it"),
        ("export.json", lambda path: edit(path, format=2), "has format 2, but this version reads up to 1"),
        ("export.json", lambda path: edit(path, z_dim="gone"), "its z_dim is missing"),
        ("export.json", lambda path: edit(path, num_classes="4"), 'its num_classes is "4"'),
        ("export.json", lambda path: edit(path, files=[]), "its files is a list of 0; expected an object"),
        ("export.json", lambda path: edit(path, format="gone"), "its format is missing"),
        ("export.json", lambda path: path.write_text("{"), "not a JSON file"),
    ],
)
def test_a_damaged_export_is_refused(name, damage, expected, exported, tmp_path, capsys):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    damage(folder / name)
    refused(capsys, ["sample", folder, "--out", tmp_path / "x.png"], expected)
    assert not (tmp_path / "x.png").exists()


def test_errors_are_one_line(run_dir, exported, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    refused(capsys, ["export", run_dir, "--out", tmp_path], "contains something other than an export")
    refused(capsys, ["export", run_dir, "--out", tmp_path / "x", "--step", "3"], "no checkpoint of step 3")
    refused(
        capsys, ["export", run_dir, "--out", tmp_path / "x", "--step", "all"], "latest, best, or one number"
    )
    refused(capsys, ["export", tmp_path], "not a run folder")
    none = ["export", run_dir, "--out", tmp_path / "x", "--statistics_examples", "0"]
    refused(capsys, none, "statistics_examples is 0")
    refused(capsys, ["sample", exported, "--out", tmp_path / "x.png", "--columns", "0"], "at least 1")
    refused(capsys, ["sample", exported, "--out", tmp_path / "x.png", "--seed", "-1"], "seed -1 is not in")
    for choice in (("--step", "4"), FEW):
        refused(
            capsys,
            ["sample", exported, "--out", tmp_path / "x.png", *choice],
            "an export has a single generator",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_explorer_shows_the_pictures_of_sample(run_dir, exported, tmp_path, capsys):
    """The command that the page shows writes the same bytes, from a run and from its export."""
    words, pictures = {"seed": "3", "columns": "2", "classes": "2,0"}, []
    for opened, source, more in ((of_run, run_dir, FEW), (of_export, exported, ())):
        explorer = opened(source, parser().parse_args(["explore", str(source), *more]))
        shown = VIEWS["samples"](explorer, words)
        _, *command = shlex.split(shown["command"])
        run_command(*command[:-1], tmp_path / "x.png", "--overwrite")
        pictures.append(base64.b64decode(shown["picture"].split(",")[1]))
        assert pictures[-1] == (tmp_path / "x.png").read_bytes()
    assert pictures[0] == pictures[1] and explorer.facts[-1] == "step 4"
    capsys.readouterr()
    refused(
        capsys, ["explore", exported, "--step", "4"], "--step and --statistics_examples apply only to runs"
    )
    refused(capsys, ["explore", exported, "--data", "blobs"], "--data applies only to runs")


@pytest.mark.slow
def test_the_explorer_finds_the_nearest_training_images(run_dir):
    arguments = parser().parse_args(["explore", str(run_dir), *FEW, "--extractor", "random"])
    shown = VIEWS["nearest"](of_run(run_dir, arguments), {"a": "0.0.1", "b": "0.1.0", "z": "0.5"})
    distances = [each["distance"] for each in shown["neighbours"]]
    assert len(distances) == 7 and distances == sorted(distances) and 0 <= shown["share_nearer"] <= 1
    names = open_dataset("blobs").class_names
    assert shown["extractor"] == "random" and {each["class"] for each in shown["neighbours"]} <= set(names)

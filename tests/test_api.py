"""The Python interface: public names, and runs that are made and opened in Python."""

import ast
import dataclasses
import functools
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import compare_gan as cg
from compare_gan.core.run_files import CONFIG, TRAINING_LABELS
from compare_gan.core.types import LossPair
from compare_gan.data.arrays import plain_arrays
from compare_gan.evaluation.scores import read_scores
from compare_gan.losses.standard import hinge
from compare_gan.main import main
from tests.training.tiny import CONDITIONAL, blobs


def test_importing_the_package_imports_nothing_else():
    program = "import sys; import compare_gan; print(*{m for m in sys.modules if 'jax' in m or 'flax' in m})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


def test_names_for_type_checkers_are_those_at_run_time():
    (block,) = (node for node in ast.parse(Path(cg.__file__).read_text()).body if isinstance(node, ast.If))
    declared = {name.asname: node.module for node in block.body for name in node.names}
    assert {*declared, "__version__"} == {*cg.__all__}
    for name, module in declared.items():
        part = getattr(cg, name)
        assert part is getattr(sys.modules[module], name, sys.modules.get(f"{module}.{name}"))
        assert part.__doc__, name
    assert {*cg.__all__} <= {*dir(cg)}
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = cg.trian


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> cg.Run:
    """Six steps on labels that were computed in Python, in which a quarter of the images have none."""
    data = blobs()
    labels = data.train.labels[::-1].copy()
    labels[:64] = -1
    folder = tmp_path_factory.mktemp("api") / "run"
    return cg.train(CONDITIONAL, data.with_labels(labels), folder, steps=6, seed=3)


def test_a_run_from_python_opens_as_the_same_gan(run):
    opened = cg.open_run(run.run_dir)
    assert opened.gan == run.gan == CONDITIONAL
    assert opened.about["architecture"] == "resnet_small_arch"
    for one, other in zip(jax.tree.leaves(opened.restore()), jax.tree.leaves(run.restore()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_keeps_labels_that_were_computed(run):
    about = json.loads((run.run_dir / "run.json").read_text())
    assert about["data"] == "blobs" and about["labels"]["choice"] == TRAINING_LABELS
    stored = plain_arrays(run.run_dir / TRAINING_LABELS)
    expected = run.dataset.train.labels
    np.testing.assert_array_equal(stored["index"], np.flatnonzero(expected >= 0))
    np.testing.assert_array_equal(stored["label"], expected[expected >= 0])


def test_the_command_trains_the_same_weights_as_python(run, tmp_path):
    """The configuration that Python wrote, with the label file that it wrote."""
    words = ["train", "--model_dir", tmp_path / "again", "--gin_config", run.run_dir / CONFIG]
    words += ["--data", "blobs", "--labels", run.run_dir / TRAINING_LABELS]
    assert main([str(word) for word in words]) == 0
    again = cg.open_run(tmp_path / "again").restore()
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(run.restore()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_is_resumed_and_extended(run, tmp_path):
    data = run.dataset
    cg.train(CONDITIONAL, data, tmp_path / "run", steps=2, seed=3)
    longer = cg.train(CONDITIONAL, data, tmp_path / "run", steps=6, seed=3)
    for one, other in zip(jax.tree.leaves(longer.restore()), jax.tree.leaves(run.restore()), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(cg.UserError, match="holds a run with other settings .*seed 3 -> 4"):
        cg.train(CONDITIONAL, data, tmp_path / "run", steps=6, seed=4)
    with pytest.raises(cg.UserError, match="other training labels"):
        cg.train(CONDITIONAL, data.with_labels(blobs().train.labels), tmp_path / "run", steps=6, seed=3)


def my_hinge(real_logits, fake_logits) -> LossPair:
    """A user's loss, without a gin name."""
    return hinge(real_logits, fake_logits)


def test_a_run_with_parts_that_have_no_gin_name(tmp_path, run):
    gan = dataclasses.replace(CONDITIONAL, loss=my_hinge)
    mine = cg.train(gan, run.dataset, tmp_path / "mine", steps=1)
    assert mine.gan == gan
    with pytest.raises(cg.UserError, match=r"no gin name \(loss: .*my_hinge\); open it in Python"):
        cg.open_run(tmp_path / "mine")
    opened = cg.open_run(tmp_path / "mine", gan=gan)
    for one, other in zip(jax.tree.leaves(opened.restore()), jax.tree.leaves(mine.restore()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_is_scored_with_the_data_in_memory_as_with_what_its_folder_names(run):
    """The metric trains on the labels that were computed in Python, a quarter of which are missing."""
    options = {"extractor": "random", "images": 40, "runs": 1}
    metrics = ["frechet_distance", "discriminator_accuracy"]
    in_memory = run.evaluate(metrics, score_filename="memory.csv", **options)
    opened = cg.open_run(run.run_dir).evaluate(metrics, **options)
    assert opened == in_memory and in_memory["frechet_distance"] > 0


def test_a_run_on_arrays_is_scored_with_arrays(tmp_path):
    train, test = blobs().train, blobs().test
    data = cg.open_dataset({"images": train.images[:40], "labels": train.labels[:40]}, holdout=0.5)
    run = cg.train(CONDITIONAL, data, tmp_path / "run", steps=1)
    opened, options = cg.open_run(run.run_dir), {"extractor": "random", "images": 20, "runs": 1}
    with pytest.raises(
        cg.UserError, match="its training data were arrays, which it does not keep; give --data"
    ):
        opened.evaluate(**options)
    row = opened.evaluate(data=data, **options)
    assert row == run.evaluate(score_filename="memory.csv", **options) and row["real_images"] == 20
    assert opened.evaluate(data="blobs", **options)["real_images"] == len(test)


def test_data_that_does_not_fit_the_gan_is_refused(tmp_path):
    digits = cg.open_dataset("digits")
    with pytest.raises(
        cg.UserError, match=r"generates images \[8, 8, 3\], but those of digits are \[8, 8, 1\]"
    ):
        cg.train(CONDITIONAL, digits, tmp_path / "run", steps=1)
    with pytest.raises(cg.UserError, match="the GAN has 4 classes, but blobs has 1"):
        one = blobs().with_labels(np.zeros(len(blobs().train), np.int32), ("all",))
        cg.train(CONDITIONAL, one, tmp_path / "run", steps=1)
    with pytest.raises(cg.UserError, match="either steps or a schedule"):
        cg.train(CONDITIONAL, blobs(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_arrays_are_a_data_set():
    data = blobs()
    images, labels = data.train.images, data.train.labels
    mine = cg.open_dataset({"images": images / 255.0, "labels": labels}, holdout=0.25)
    assert mine.origin.data is None and mine.spec.num_classes == 4
    both = np.concatenate([mine.train.images, mine.test.images])
    assert sorted(map(bytes, both)) == sorted(map(bytes, images))
    with pytest.raises(cg.UserError, match="arrays: images has the shape"):
        cg.open_dataset(images[0, 0])


def test_kept_labels_are_those_of_a_study(tmp_path):
    from compare_gan.fewlabels import keep_labels

    digits = cg.open_dataset("digits")
    few = cg.keep_labels(digits, fraction=0.1, seed=3)
    np.testing.assert_array_equal(few.train.labels, keep_labels(digits, 0.1, 3, tmp_path).train.labels)
    np.testing.assert_array_equal(np.bincount(cg.keep_labels(digits, per_class=2).train.labels + 1)[1:], 2)
    with pytest.raises(cg.UserError, match="either fraction or per_class"):
        cg.keep_labels(digits)


def test_own_training_loop(run):
    """`train_step` with a batch layout of one's own, against the loop of the library."""
    step = jax.jit(functools.partial(cg.train_step, CONDITIONAL), donate_argnums=0)
    state = CONDITIONAL.init(jax.random.key(0))
    order = np.random.default_rng(0).integers(0, len(run.dataset.train), (CONDITIONAL.sub_batches, 16))
    images, labels = run.dataset.train.images[order], run.dataset.train.labels[order]
    state, metrics = step(state, cg.Batch(images, labels), jax.random.key(1))
    assert int(state.step) == 1 and {"loss/d", "loss/g"} <= metrics.keys()


def test_scores_during_training_select_the_best_checkpoint(run, tmp_path):
    options = cg.EvalOptions(extractor="random", metrics=("frechet_distance",), images=64, runs=1)
    scoring = cg.Scoring(every=3, validation=0.25, options=options)
    found = cg.train(CONDITIONAL, run.dataset, tmp_path / "run", steps=6, scoring=scoring)
    assert len(found.dataset.train) == 192 and len(run.dataset.train) == 256
    rows = {int(row["step"]): float(row["frechet_distance"]) for row in read_scores(tmp_path / "run")}
    assert {*rows} == {3, 6} and found.step_number("best") == min(rows, key=rows.__getitem__)
    stored = plain_arrays(tmp_path / "run" / TRAINING_LABELS)  # of all images, as the data set has them
    np.testing.assert_array_equal(stored["index"], np.flatnonzero(run.dataset.train.labels >= 0))

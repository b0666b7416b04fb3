"""The label stages read no hidden label."""

import dataclasses
import functools
import itertools
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.core.origin import note_of
from compare_gan.core.run_files import (
    CLASSIFIER,
    FEATURES,
    KEPT,
    LABELS,
    PREDICTIONS,
    PRETRAINED,
    SOFT_LABELS,
)
from compare_gan.data import Split, open_dataset
from compare_gan.data.fit import CropResize
from compare_gan.data.records import Pixels
from compare_gan.data.streamed import Streamed
from compare_gan.fewlabels import LabelRecipe, extract, infer_labels, keep_labels, pretrain, read_features
from compare_gan.fewlabels.fine_tune import calibration_folds, class_logits
from compare_gan.training.augment import Augmentation
from compare_gan.training.encoder import EncoderTraining, train_classifier
from tests.helpers.tiers import slow_unless

S4L = LabelRecipe(
    width=4,
    pretrain_steps=6,
    classify_steps=6,
    labelled_batch=8,
    calibration_fits=1,
    training=EncoderTraining(batch_size=8),
)
RECIPES = {
    "s4l": S4L,
    "s4l, all options": dataclasses.replace(
        S4L,
        class_rotations=True,
        pseudo_weight=1.0,
        calibration_fits=0,
        training=EncoderTraining(8, augmentation=Augmentation(0.8, 1, True, 0.2, 2)),
    ),
    "fixmatch": dataclasses.replace(
        S4L,
        classifier="fixmatch",
        pretraining="vicreg",
        training=EncoderTraining(8, average_decay=0.9, augmentation=Augmentation(0.8, 1, True)),
    ),
    "linear": dataclasses.replace(S4L, classifier="linear"),
    "clusters": dataclasses.replace(S4L, classifier="clusters", clusters=4),
}
FILES = {
    "s4l": {PRETRAINED, CLASSIFIER, PREDICTIONS, LABELS, SOFT_LABELS},
    "s4l, all options": {PRETRAINED, CLASSIFIER, PREDICTIONS, LABELS, SOFT_LABELS},
    "fixmatch": {PRETRAINED, CLASSIFIER, PREDICTIONS, LABELS, SOFT_LABELS},
    "linear": {PRETRAINED, FEATURES, PREDICTIONS, LABELS, SOFT_LABELS},
    "clusters": {PRETRAINED, FEATURES, PREDICTIONS, LABELS},
}


def run_stages(dataset, folder, recipe=S4L):
    few = keep_labels(dataset, 0.1, seed=5, folder=folder)
    return infer_labels(few, pretrain(few, recipe, 5, folder), recipe, 5, folder)


def contents(folder):
    """The results of the stages in a folder: file bytes, and logs without times."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for path in folder.rglob("metrics.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found[str(path.relative_to(folder))] = [row | {"seconds": 0} for row in rows]
    return found


@pytest.fixture(scope="module")
def dataset():
    return open_dataset("blobs")


@pytest.fixture(scope="module")
def original(dataset, tmp_path_factory):
    """A function from the name of a recipe to its folder and result; each recipe runs once."""

    @functools.cache
    def run(name):
        folder = tmp_path_factory.mktemp("original")
        return folder, run_stages(dataset, folder, RECIPES[name])

    return run


@pytest.fixture(scope="module")
def encoder(dataset, tmp_path_factory):
    return pretrain(dataset, S4L, 5, tmp_path_factory.mktemp("encoder"))


def permuted(labels, hidden):
    labels[hidden] = (labels[hidden] + 1 + np.arange(len(hidden)) % 3) % 4


def constant(labels, hidden):
    labels[hidden] = 3


def deleted(labels, hidden):
    labels[hidden] = -1


PLAIN = ("s4l", "linear", "clusters")
LEAKS = [
    *itertools.product(PLAIN, (permuted, constant, deleted)),
    ("s4l, all options", permuted),
    ("fixmatch", permuted),
]


@pytest.mark.parametrize(
    ("name", "change"), slow_unless(lambda name, change: change is permuted and name in PLAIN, LEAKS)
)
def test_hidden_labels_change_no_file(original, dataset, tmp_path, name, change):
    """The kept labels are copied, since their stratified choice reads all labels."""
    folder, _ = original(name)
    for file in (KEPT, note_of(Path(KEPT))):
        shutil.copy(folder / file, tmp_path / file)
    labels = dataset.train.labels.copy()
    change(labels, np.setdiff1d(np.arange(len(labels)), np.load(folder / KEPT)["index"]))
    assert (labels != dataset.train.labels).mean() > 0.5
    other = dataclasses.replace(
        dataset.with_labels(labels), test=Split(dataset.test.images, np.zeros_like(dataset.test.labels))
    )
    run_stages(other, tmp_path, RECIPES[name])
    before, after = contents(folder), contents(tmp_path)
    assert {KEPT, *FILES[name]} == {key for key in before if key.endswith(".npz")}
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert after[key] == value, key


@pytest.mark.parametrize("name", PLAIN)
def test_kept_labels_change_the_predictions(original, dataset, tmp_path, name):
    folder, _ = original(name)
    run_stages(dataset.with_labels((dataset.train.labels + 1) % 4), tmp_path, RECIPES[name])
    different = {key for key, value in contents(tmp_path).items() if contents(folder)[key] != value}
    assert KEPT in different and not different & {PRETRAINED, FEATURES, "pretrain/metrics.jsonl"}
    assert (PREDICTIONS in different) == (name != "clusters")


@pytest.mark.parametrize("name", slow_unless(lambda name: name in PLAIN, RECIPES))
def test_finished_stages_do_not_run_again(original, dataset, monkeypatch, name):
    folder, inferred = original(name)
    for target in ("representation.train_encoder", "fine_tune.train_encoder", "stages.cluster"):
        monkeypatch.setattr(f"compare_gan.fewlabels.{target}", None)
    again = run_stages(dataset, folder, RECIPES[name])
    np.testing.assert_array_equal(again.hard.train.labels, inferred.hard.train.labels)


@pytest.mark.parametrize("name", slow_unless(lambda name: name in PLAIN, RECIPES))
def test_inferred_labels_are_consistent(original, dataset, name):
    _, inferred = original(name)
    hard, found = inferred.hard.train.labels, inferred.predictions
    assert 0 <= hard.min() and hard.max() < inferred.hard.spec.num_classes == 4
    if name == "clusters":
        assert inferred.soft is None and inferred.hard.class_names[0] == "cluster 0"
        np.testing.assert_array_equal(hard, found.train)
        assert found.test.shape == (len(dataset.test),)
    else:
        np.testing.assert_array_equal(hard, inferred.soft.train.labels.argmax(1))
        np.testing.assert_array_equal(inferred.soft.train.labels, found.train)
        np.testing.assert_allclose(found.train.sum(1), 1, atol=1e-5)
        assert found.test.shape == (len(dataset.test), 4)


def test_streamed_images_give_the_same_predictions(original, dataset, tmp_path):
    def streamed(split):
        images = Streamed(Pixels(split.images), CropResize(), dataset.spec.image_shape)
        return dataclasses.replace(split, images=images)

    other = dataclasses.replace(dataset, train=streamed(dataset.train), test=streamed(dataset.test))
    _, inferred = original("s4l")
    found = run_stages(other, tmp_path, S4L).predictions
    np.testing.assert_allclose(found.train, inferred.predictions.train, atol=1e-5)
    np.testing.assert_allclose(found.test, inferred.predictions.test, atol=1e-5)


def test_uncertain_images_stay_unlabelled(dataset, encoder, tmp_path):
    few = keep_labels(dataset, 0.1, 5, tmp_path)
    recipe = dataclasses.replace(RECIPES["linear"], confidence=0.9)
    inferred = infer_labels(few, encoder, recipe, 5, tmp_path)
    certain = inferred.predictions.train.max(1) >= 0.9
    assert 0 < certain.sum() < len(certain)
    np.testing.assert_array_equal(inferred.hard.train.labels >= 0, certain)
    np.testing.assert_array_equal(inferred.soft.train.labels.any(1), certain)


def test_a_tenth_of_each_class_is_kept(dataset, tmp_path):
    few = keep_labels(dataset, 0.1, seed=5, folder=tmp_path)
    kept = few.train.labels >= 0
    np.testing.assert_array_equal(few.train.labels[kept], dataset.train.labels[kept])
    assert np.bincount(few.train.labels[kept]).tolist() == [6, 6, 6, 6]


def test_features_from_a_file_replace_ours(dataset, encoder, tmp_path):
    few = keep_labels(dataset, 0.1, 5, tmp_path)
    ours = extract(few, encoder, tmp_path)
    np.save(tmp_path / "train.npy", ours.train)
    np.savez(tmp_path / "both.npz", train=ours.train, test=ours.test)
    expected = infer_labels(few, encoder, RECIPES["linear"], 5, tmp_path).predictions
    for name in ("train.npy", "both.npz"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        found = infer_labels(few, read_features(tmp_path / name, few), RECIPES["linear"], 5, folder)
        np.testing.assert_array_equal(found.predictions.train, expected.train)
        assert (found.predictions.test is None) == (name == "train.npy")
    with pytest.raises(UserError, match="s4l trains an encoder"):
        infer_labels(few, ours, S4L, 5, tmp_path / "train" / "none")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"train": np.zeros((255, 3))}, "255 rows for 256 images"),
        ({"train": np.zeros((256, 3)), "test": np.zeros((1, 3))}, "1 rows for 64 images"),
        ({"train": np.full((256, 3), np.nan)}, "row 0 of train contains NaN or Inf"),
        ({"train": np.zeros((256, 3), int)}, "expected .N, F. floats"),
        ({"train": np.zeros((256, 3, 1))}, "expected .N, F. floats"),
        ({"test": np.zeros((64, 3))}, "expected train and optionally test"),
        ({"train": np.zeros((256, 3)), "labels": np.zeros(256)}, "expected train and optionally test"),
        ({"train": np.zeros((256, 3)), "test": np.zeros((64, 4))}, "3 columns but test has 4"),
    ],
)
def test_invalid_features_are_refused(dataset, tmp_path, arrays, words):
    np.savez(tmp_path / "features.npz", **arrays)
    with pytest.raises(UserError, match=words) as caught:
        read_features(tmp_path / "features.npz", dataset)
    assert "features.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_a_data_set_without_labels_is_refused(dataset, encoder, tmp_path):
    unlabelled = dataset.with_labels(np.full(len(dataset.train), -1, np.int32))
    with pytest.raises(UserError, match="no image has a label"):
        keep_labels(unlabelled, 0.1, 0, tmp_path)
    with pytest.raises(UserError, match="no training image has a label"):
        infer_labels(unlabelled, encoder, S4L, 5, tmp_path)
    with pytest.raises(UserError, match="no training image has a label"):
        infer_labels(unlabelled, encoder, RECIPES["linear"], 5, tmp_path)
    with pytest.raises(UserError, match="a label on every training image"):
        train_classifier(unlabelled, 4, 1, 0, tmp_path)


@pytest.mark.parametrize("fraction", [0, 2, -0.1])
def test_invalid_fractions_are_refused(dataset, tmp_path, fraction):
    with pytest.raises(UserError, match="label fraction"):
        keep_labels(dataset, fraction, 0, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classifier": "s5l"}, "did you mean 's4l'"),
        ({"pretraining": "vicregs"}, "did you mean 'vicreg'"),
        ({"pretrain_steps": 0}, "pretrain_steps is 0"),
        ({"rotation_weight": -1.0}, "must not be negative"),
        ({"calibration_fits": 5}, "0 to 4"),
        ({"classifier": "fixmatch", "class_rotations": True}, "are for the classifier s4l"),
        ({"confidence": 2.0}, "a probability"),
        ({"encoder": "resnet51"}, "did you mean 'resnet50'"),
    ],
)
def test_invalid_recipes_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(S4L, **change)


def test_images_that_must_not_be_mirrored_are_not(dataset, tmp_path):
    mirroring = dataclasses.replace(S4L, training=EncoderTraining(8, augmentation=Augmentation(mirror=True)))
    assert mirroring.for_images(dataset.mirror) is mirroring
    digits = dataclasses.replace(dataset, mirror=False)
    assert mirroring.for_images(digits.mirror) == S4L
    found, expected = (
        pretrain(digits, mirroring, 5, tmp_path / "a"),
        pretrain(dataset, S4L, 5, tmp_path / "b"),
    )
    jax.tree.map(np.testing.assert_array_equal, found.net.params, expected.net.params)


def test_images_must_be_square(dataset, tmp_path):
    wide = dataclasses.replace(dataset, train=Split(dataset.train.images[:, :4], dataset.train.labels))
    with pytest.raises(UserError, match="4x8 images cannot be rotated"):
        pretrain(wide, S4L, 5, tmp_path)


def test_calibration_folds_are_disjoint_and_leave_a_label_of_each_class():
    labels = np.repeat([0, 1, -1, 2], [50, 7, 100, 1])
    parts = calibration_folds(labels, 3)
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    for part in parts:
        assert np.bincount(labels[part], minlength=3).tolist() == [10, 2 if part is parts[0] else 1, 0]
    assert np.bincount(labels[calibration_folds(labels, 0)[0]], minlength=3).tolist() == [5, 1, 0]


class Corner:
    """A fake classifier with logits [N, 2]: the upper left pixel and the one to its right."""

    class spec:  # noqa: N801
        classes = ("a", "b")

    def __call__(self, images):
        return dataclasses.make_dataclass("Out", ["classes"])(images[:, 0, :2, 0])


def test_predictions_are_means_over_the_training_views():
    images = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3, 1)
    found = class_logits(Corner(), images, S4L)
    np.testing.assert_array_equal(found, images[:, 0, :2, 0])
    found = class_logits(Corner(), images, RECIPES["s4l, all options"], rows=np.array([1]))
    corners = [images[1, i, j, 0] for i in (0, 2) for j in (0, 2)]
    edges = [images[1, 0, 1, 0], images[1, 1, 0, 0], images[1, 1, 2, 0], images[1, 2, 1, 0]]
    np.testing.assert_allclose(found, [[np.mean(corners), np.mean(edges)]])

"""The label stages see the kept labels and nothing else."""

import dataclasses
import shutil

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import ImageDataset, Split, open_dataset
from compare_gan.fewlabels import LabelRecipe, infer_labels, keep_labels, label_quality, pretrain
from compare_gan.fewlabels.inferred import LABELS, Inferred
from compare_gan.fewlabels.representation import PRETRAINED
from compare_gan.fewlabels.stages import CLASSIFIER, KEPT
from compare_gan.train.encoder import EncoderTraining, train_classifier

RECIPE = LabelRecipe(
    width=4, pretrain_steps=6, classify_steps=6, labelled_batch=8, training=EncoderTraining(batch_size=8)
)


def run_stages(dataset, folder):
    few = keep_labels(dataset, 0.1, seed=5, folder=folder)
    encoder = pretrain(few, RECIPE, 5, folder)
    return infer_labels(few, encoder, RECIPE, 5, folder).hard


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    dataset = open_dataset("blobs")
    return dataset, folder, run_stages(dataset, folder)


def permuted(dataset, kept):
    """Another label on every image whose label is hidden."""
    labels = dataset.train.labels.copy()
    hidden = np.setdiff1d(np.arange(len(labels)), kept)
    labels[hidden] = (labels[hidden] + 1 + np.arange(len(hidden)) % 3) % 4
    assert (labels[hidden] != dataset.train.labels[hidden]).all()
    return dataset.with_labels(labels)


def nonsense(dataset, kept):
    labels = np.full(len(dataset.train), 3, np.int32)
    labels[kept] = dataset.train.labels[kept]
    return dataset.with_labels(labels)


def deleted(dataset, kept):
    labels = np.full(len(dataset.train), -1, np.int32)
    labels[kept] = dataset.train.labels[kept]
    return dataset.with_labels(labels)


@pytest.mark.parametrize("change", [permuted, nonsense, deleted])
def test_hidden_labels_change_no_file(original, tmp_path, change):
    dataset, folder, _ = original
    shutil.copy(folder / KEPT, tmp_path / KEPT)  # the choice itself is made once, by class
    kept = np.load(folder / KEPT)["index"]
    other = change(dataset, kept)
    other = dataclasses.replace(other, test=Split(other.test.images, np.zeros_like(other.test.labels)))
    run_stages(other, tmp_path)
    for name in (KEPT, PRETRAINED, CLASSIFIER, LABELS):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_kept_labels_do_matter(original, tmp_path):
    dataset, folder, _ = original
    labels = (dataset.train.labels + 1) % 4
    run_stages(dataset.with_labels(labels), tmp_path)
    assert (folder / PRETRAINED).read_bytes() == (tmp_path / PRETRAINED).read_bytes()
    assert (folder / CLASSIFIER).read_bytes() != (tmp_path / CLASSIFIER).read_bytes()


def test_a_tenth_of_each_class_is_kept(original):
    dataset, folder, _ = original
    few = keep_labels(dataset, 0.1, seed=5, folder=folder)
    kept = few.train.labels >= 0
    np.testing.assert_array_equal(few.train.labels[kept], dataset.train.labels[kept])
    assert np.bincount(few.train.labels[kept]).tolist() == [6, 6, 6, 6]


def test_stages_are_not_run_again(original, monkeypatch):
    dataset, folder, inferred = original
    monkeypatch.setattr("compare_gan.fewlabels.stages.train_encoder", None)
    again = run_stages(dataset, folder)
    np.testing.assert_array_equal(again.train.labels, inferred.train.labels)


def test_every_image_gets_a_label(original):
    _, _, inferred = original
    assert inferred.train.labels.min() >= 0


def test_no_label_left_is_refused(original, tmp_path):
    dataset, folder, _ = original
    nothing = dataset.with_labels(np.full(len(dataset.train), -1, np.int32))
    with pytest.raises(UserError, match="no image has a label"):
        keep_labels(nothing, 0.1, 0, tmp_path)
    with pytest.raises(UserError, match="no training image has a label"):
        infer_labels(nothing, pretrain(nothing, RECIPE, 5, folder), RECIPE, 5, tmp_path)
    with pytest.raises(UserError, match="a label on every training image"):
        train_classifier(nothing, 4, 1, 0, tmp_path)


@pytest.mark.parametrize("fraction", [0, 2, -0.1])
def test_a_fraction_that_makes_no_sense_is_refused(original, tmp_path, fraction):
    with pytest.raises(UserError, match="label fraction"):
        keep_labels(original[0], fraction, 0, tmp_path)
    assert not list(tmp_path.iterdir())


def test_label_quality_counts():
    images = np.zeros((5, 2, 2, 1), np.uint8)
    true = Split(images, np.array([0, 0, 1, 2, -1]))
    full = ImageDataset("five", true, true, ("a", "b", "c"))
    quality = label_quality(full, Inferred(full.with_labels(np.array([0, 1, 1, 2, 0])), None, None))
    assert quality["accuracy"] == 0.75
    assert quality["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert quality["balance"] == [1, 2, 1]

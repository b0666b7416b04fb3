"""Subsets of labels, and other choices of labels."""

import csv
import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.label_files import write_labels
from compare_gan.data.labels import (
    choose_kept,
    choose_per_class,
    describe_choice,
    from_file,
    labelled_only,
    relabelled,
)
from compare_gan.data.streamed import Streamed

LABELS = np.repeat([0, 1, 2], [100, 30, 3])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four images of each of three classes; grey level and name identify each."""
    root = tmp_path_factory.mktemp("animals")
    for k, name in enumerate(("cat", "dog", "eel")):
        for part, count in (("train", 4), ("test", 1)):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("L", (4, 4), 50 * k + i).save(root / part / name / f"{name}{i}.png")
    return root


@pytest.fixture(params=["in memory", "streamed"])
def animals(request, folder):
    return open_dataset(str(folder), reading=LoadOptions(memory=0 if request.param == "streamed" else None))


def test_each_class_keeps_its_fraction_but_at_least_one():
    kept = choose_kept(LABELS, 0.1, seed=0)
    np.testing.assert_array_equal(np.bincount(LABELS[kept]), [10, 3, 1])
    np.testing.assert_array_equal(kept, np.unique(kept))


def test_a_small_class_keeps_all_its_labels():
    kept = choose_per_class(LABELS, 25, seed=0)
    np.testing.assert_array_equal(np.bincount(LABELS[kept]), [25, 25, 3])
    np.testing.assert_array_equal(kept, np.unique(kept))
    with pytest.raises(UserError, match="0 labels per class are too few"):
        choose_per_class(LABELS, 0, seed=0)


def test_a_fraction_of_one_keeps_all_labels():
    np.testing.assert_array_equal(choose_kept(LABELS, 1, seed=5), np.arange(133))
    np.testing.assert_array_equal(choose_per_class(LABELS, 100, seed=5), np.arange(133))


def test_choices_are_seeded_and_nested():
    ten = choose_kept(LABELS, 0.1, seed=0)
    np.testing.assert_array_equal(ten, choose_kept(LABELS.copy(), 0.1, seed=0))
    assert set(ten) != set(choose_kept(LABELS, 0.1, seed=1))
    assert set(ten) < set(choose_kept(LABELS, 0.3, seed=0))
    assert set(ten) < set(choose_per_class(LABELS, 12, seed=0)) < set(choose_per_class(LABELS, 13, seed=0))


def test_choices_are_uniform_within_a_class():
    counts = sum(np.isin(np.arange(20), choose_kept(np.zeros(20, int), 0.25, seed)) for seed in range(2000))
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_unlabelled_images_are_never_chosen():
    labels = np.array([-1, 0, -1, 1])
    np.testing.assert_array_equal(choose_kept(labels, 1.0, seed=0), [1, 3])
    np.testing.assert_array_equal(choose_per_class(labels, 4, seed=0), [1, 3])
    with pytest.raises(UserError, match="no image has a label"):
        choose_kept(np.full(4, -1), 0.5, seed=0)


@pytest.mark.parametrize("fraction", [0, -0.1, 2, float("nan")])
def test_a_fraction_out_of_range(fraction):
    with pytest.raises(UserError, match=rf"label fraction {fraction} is not in \(0, 1\]") as caught:
        choose_kept(LABELS, fraction, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("choose", [lambda x: choose_kept(x, 0.5, 3), lambda x: choose_per_class(x, 2, 3)])
def test_hidden_labels_are_not_written(animals, tmp_path, choose):
    """The file does not depend on the labels of images that were not chosen."""
    true = animals.train.labels
    kept = choose(true)
    path, other = tmp_path / "kept.npz", tmp_path / "other.npz"
    write_labels(path, kept, true[kept], animals.train.names)
    found = from_file(animals, path).train.labels
    np.testing.assert_array_equal(found[kept], true[kept])
    hidden = np.setdiff1d(np.arange(12), kept)
    assert len(hidden) == 6 and (found[hidden] == -1).all()
    moved = true.copy()
    moved[hidden] = (moved[hidden] + 1) % 3
    write_labels(other, kept, moved[kept], animals.train.names)
    assert path.read_bytes() == other.read_bytes()
    for name, entry in np.load(path).items():
        assert entry == 12 if name == "num_images" else len(entry) == 6, name
    assert set(np.load(path)["file_name"]) == {animals.train.names[i] for i in kept}


def test_a_handwritten_file(animals, tmp_path):
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label"), ("dog2.png", "eel"), ("cat/cat0.png", 1)])
    found = relabelled(animals, str(tmp_path / "a.csv"))
    assert found.class_names == ("cat", "dog", "eel")
    labelled = np.flatnonzero(found.train.labels >= 0)
    greys = animals.train.images[labelled][:, 0, 0, 0]
    assert dict(zip(greys.tolist(), found.train.labels[labelled].tolist(), strict=True)) == {52: 2, 0: 1}
    assert found.test is animals.test


def test_a_data_set_without_classes_takes_those_of_the_file(tmp_path):
    np.savez(tmp_path / "images.npz", images=np.zeros((10, 4, 4), np.uint8))
    (tmp_path / "a.csv").write_text("index,label\n0,up\n3,down\n")
    plain = open_dataset(str(tmp_path / "images.npz"))
    found = relabelled(plain, str(tmp_path / "a.csv"))
    assert found.class_names == ("down", "up") and found.spec.num_classes == 2
    assert found.train.labels.tolist() == [1, -1, -1, 0, -1, -1, -1, -1]
    with pytest.raises(UserError, match="images.npz: has no classes to draw labels from"):
        relabelled(plain, "random")


def test_one_class_for_all(animals):
    found = relabelled(animals, "single")
    assert found.train.labels.tolist() == [0] * 12 and found.train.labels.dtype == np.int32
    assert found.spec.num_classes == 1 and describe_choice("single") == {"choice": "single"}


def test_random_labels_depend_on_the_seed_only(animals):
    found = relabelled(animals, "random")
    assert found.train.labels.tolist() == relabelled(animals, "random:0").train.labels.tolist()
    assert found.train.labels.tolist() != relabelled(animals, "random:1").train.labels.tolist()
    assert found.spec.num_classes == 3 and not set(found.class_names) & set(animals.class_names)
    hidden = relabelled(animals.with_labels(np.full(12, -1, np.int32)), "random")
    np.testing.assert_array_equal(hidden.train.labels, found.train.labels)


def test_random_labels_are_uniform():
    digits = open_dataset("digits")
    counts = np.bincount(relabelled(digits, "random:3").train.labels, minlength=10)
    expected = len(digits.train) / 10
    assert len(counts) == 10 and ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-squared, p = 0.001
    agree = np.mean(relabelled(digits, "random:3").train.labels == digits.train.labels)
    assert abs(agree - 0.1) < 5 * np.sqrt(0.09 / len(digits.train))


def test_clusters_are_new_classes(animals, tmp_path):
    clusters = np.arange(12) % 5
    write_labels(tmp_path / "a.npz", np.arange(12), clusters)
    choice = f"clusters:{tmp_path / 'a.npz'}"
    found = relabelled(animals, choice)
    np.testing.assert_array_equal(found.train.labels, clusters)
    assert found.class_names == tuple(f"cluster {k}" for k in range(5))
    sha = hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest()
    assert describe_choice(choice) == {"choice": choice, "sha256": sha}
    with pytest.raises(UserError, match="row 3: label 3 is not one of the classes 0 to 2"):
        relabelled(animals, str(tmp_path / "a.npz"))  # as classes of the data set they do not fit
    (tmp_path / "a.csv").write_text("index,label\n0,\n")
    with pytest.raises(UserError, match="a.csv: labels no image"):
        relabelled(animals, f"clusters:{tmp_path / 'a.csv'}")


@pytest.mark.parametrize(
    "choice, words",
    [
        ("singel", "labels 'singel' are neither an existing file nor single, random"),
        ("single:1", "labels 'single:1' are neither"),
        ("random:x", "'x' is not a seed"),
        ("random:-1", "'-1' is not a seed"),
        ("clusters:none.npz", "none.npz: cannot be read"),
        ("none.csv", "none.csv: cannot be read"),
    ],
)
def test_an_invalid_choice(animals, choice, words):
    for function in (describe_choice, lambda choice: relabelled(animals, choice)):
        with pytest.raises(UserError, match=words) as caught:
            function(choice)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("soft", [False, True])
def test_unlabelled_images_are_left_out(animals, soft):
    hard = np.where(np.arange(12) % 3 == 0, animals.train.labels, -1)
    few = animals.with_labels(np.eye(3, dtype=np.float32)[hard] * (hard >= 0)[:, None] if soft else hard)
    found = labelled_only(few)
    rows = [0, 3, 6, 9]
    np.testing.assert_array_equal(found.train.images[:], animals.train.images[np.array(rows)])
    np.testing.assert_array_equal(found.train.labels, few.train.labels[rows])
    assert list(found.train.names) == [animals.train.names[i] for i in rows]
    assert isinstance(found.train.images, Streamed) == isinstance(animals.train.images, Streamed)
    assert found.test is animals.test and found.class_names == animals.class_names
    assert labelled_only(found).train is found.train
    with pytest.raises(UserError, match="no training image has a label"):
        labelled_only(few.with_labels(np.zeros_like(few.train.labels) if soft else np.full(12, -1)))


def test_labels_of_other_images_are_refused(animals):
    with pytest.raises(UserError, match="3 labels for the 12 training images"):
        dataclasses.replace(animals).with_labels(np.zeros(3, np.int32))

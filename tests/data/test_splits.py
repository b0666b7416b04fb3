"""Held-out test splits."""

import numpy as np
import pytest

from compare_gan.data.holdout import with_splits
from compare_gan.data.records import Contents, Pixels, StoredSplit
from compare_gan.data.splits import held_out_mask, split_of


def numbered_images(labels):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return StoredSplit(Pixels(images), np.array(labels, np.int32))


def held_out(images):
    contents = with_splits(Contents("my/data", "data", images, None, ()))
    return contents.train, contents.test


def numbers(part):
    return np.array([part.records[i].item() for i in range(len(part))])


def test_each_class_is_split_and_nothing_is_lost():
    images = numbered_images([0, 1] * 50 + [2] * 5)
    rest, out = held_out(images)
    np.testing.assert_array_equal(np.bincount(rest.labels), [40, 40, 4])
    np.testing.assert_array_equal(np.bincount(out.labels), [10, 10, 1])
    np.testing.assert_array_equal(np.sort(np.concatenate([numbers(rest), numbers(out)])), np.arange(105))
    for part in (rest, out):
        np.testing.assert_array_equal(part.labels, images.labels[numbers(part)])


def test_rows_of_zeros_are_unlabelled():
    hard = np.array([0] * 10 + [1] * 10 + [-1] * 10)
    soft = np.eye(3, dtype=np.float32)[hard] * 0.9 * (hard >= 0)[:, None]
    np.testing.assert_array_equal(held_out_mask(soft), held_out_mask(hard))
    assert held_out_mask(soft)[20:].sum() == 2
    few = np.r_[hard[:1], hard[20:24]]  # one image of the first class, which is not to be held out
    assert not held_out_mask(np.eye(3, dtype=np.float32)[few] * (few >= 0)[:, None])[0]


def test_held_out_images_are_evenly_spaced():
    _, out = held_out(numbered_images([0] * 20))
    np.testing.assert_array_equal(np.diff(numbers(out)), [5, 5, 5])


def test_every_class_stays_in_training():
    labels = np.repeat(np.arange(12), np.arange(1, 13))
    rest, _ = held_out(numbered_images(labels))
    assert set(rest.labels) == set(range(12))


def test_soft_labels_count_as_their_argmax():
    labels = np.eye(2, dtype=np.float32)[[0] * 10 + [1] * 5]
    rest, out = held_out(StoredSplit(numbered_images([0] * 15).records, labels))
    assert out.labels.sum(0).tolist() == [2, 1] and rest.labels.sum(0).tolist() == [8, 4]


def test_one_image_per_class_holds_out_nothing_with_a_note():
    contents = with_splits(Contents("my/data", "data", numbered_images([0, 1, 2]), None, ()))
    assert numbers(contents.train).tolist() == numbers(contents.test).tolist() == [0, 1, 2]
    assert contents.notes[0].startswith("there are too few images to hold any out")


@pytest.mark.parametrize(
    ("split", "names"),
    {
        "train": "train Training TRAIN train_set TrainSet train2017 01_train train-00000-of-00001-a9.parquet "
        "training.parquet train_1.parquet labeled train_labelled images_train",
        "test": "test Testing test_set test1 test-images test-00000-of-00001.parquet",
        "validation": "val valid validation Eval dev devset holdout held_out Valid_Set val2017",
        "unlabelled": "unlabeled Unlabelled unsup unlabeled_images unlabeled-00000-of-00003.parquet nolabel "
        "train_unlabeled",
        None: "trainA train_station steam-train crash_test tr cat images data 0000.parquet contest devil",
    }.items(),
)
def test_spellings_of_split_names(split, names):
    assert {name: split_of(name) for name in names.split()} == dict.fromkeys(names.split(), split)

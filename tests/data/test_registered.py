"""The registered data sets."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from compare_gan.core.registry import DATASETS
from compare_gan.data import fashion, open_dataset
from compare_gan.data.facts import DATASET_INFO
from compare_gan.data.synthetic import fake


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_registered_data_set_is_valid(name):
    data = open_dataset(name)
    assert data.name == name and data.spec.num_classes == len(data.class_names)
    for split in (data.train, data.test):
        assert split.images.dtype == np.uint8 and split.images.shape[1:] == data.spec.image_shape
        assert split.labels.dtype == np.int32 and split.labels.shape == (len(split),)
        assert set(split.labels) == set(range(len(data.class_names)))
    again = open_dataset(name)
    np.testing.assert_array_equal(again.train.images, data.train.images)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)


@pytest.mark.parametrize("name", list(DATASETS))
def test_train_and_test_images_are_disjoint(name):
    data = open_dataset(name)
    train, test = ({image.tobytes() for image in split.images} for split in (data.train, data.test))
    assert not train & test


def test_digits_match_scikit_learn():
    digits = open_dataset("digits")
    assert (len(digits.train), len(digits.test)) == (1347, 450)
    assert digits.spec.image_shape == (8, 8, 1) and digits.class_names == tuple("0123456789")
    pixels, labels = load_digits(return_X_y=True)
    levels = np.array([round(level * 255 / 16) for level in range(17)], np.uint8)
    theirs = {(levels[row].tobytes(), label) for row, label in zip(pixels.astype(int), labels, strict=True)}
    ours = {
        (image.tobytes(), label)
        for split in (digits.train, digits.test)
        for image, label in zip(split.images, split.labels, strict=True)
    }
    assert ours == theirs and len(ours) == 1797


def test_digits_are_split_by_class():
    digits = open_dataset("digits")
    train, test = np.bincount(digits.train.labels), np.bincount(digits.test.labels)
    assert np.abs(test - (train + test) / 4).max() <= 0.5


def test_fashion_is_balanced_and_has_the_pixels_of_its_provenance():
    clothes = open_dataset("fashion")
    assert clothes.spec.image_shape == (28, 28, 1) and clothes.spec.mirror
    about = json.loads(Path(fashion.__file__).with_suffix(".json").read_text())
    for name, count in (("train", 1000), ("test", 200)):
        split = getattr(clothes, name)
        np.testing.assert_array_equal(np.bincount(split.labels), 10 * [count])
        assert hashlib.sha256(split.images[:].tobytes()).hexdigest() == about["pixels_sha256"][name]


def test_a_sheet_keeps_every_pixel_and_class(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (10, 20, 28, 28), np.uint8)
    sheet = tmp_path / "sheet.png"
    fashion.write_sheet(sheet, images)
    split = fashion.read_sheet(sheet)
    for label in range(10):
        np.testing.assert_array_equal(split.records.array[split.labels == label][..., 0], images[label])


def test_the_class_of_blobs_is_the_bright_corner():
    blobs = open_dataset("blobs")
    assert (len(blobs.train), len(blobs.test)) == (256, 64) and blobs.spec.image_shape == (8, 8, 3)
    image = blobs.train.images[blobs.class_names.index("bottom left")].astype(int)
    assert image[4:, :4].min() >= 160 and image[:4].max() < 64 and image[:, 4:].max() < 64


def test_a_registered_data_set_is_resized():
    assert open_dataset("digits", image_size=16).spec.image_shape == (16, 16, 1)


@pytest.mark.parametrize("name", ["mnist", "celeb_a", "single_class_imagenet_128"])
def test_fake_data_has_the_shape_of_a_data_set(name):
    data = fake(name)
    assert data.spec == DATASET_INFO[name].spec and len(data.train) == len(data.test) == 100
    assert set(data.train.labels) == {"mnist": {1}, "celeb_a": {-1}}.get(name, {0})
    assert data.train.images.dtype == np.uint8 and 120 < data.train.images.mean() < 135

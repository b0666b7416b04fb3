"""The training images nearest to generated ones, and their picture."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import open_dataset
from compare_gan.data.base import ImageDataset, Split
from compare_gan.data.validation import with_validation
from compare_gan.evaluation.neighbour_sheet import draw
from compare_gan.evaluation.neighbours import training_images
from compare_gan.evaluation.run_data import with_training_images
from compare_gan.features import open_extractor
from tests.fewlabels.small import Brightness, dataset


@pytest.fixture
def training():
    return training_images(dataset(), Brightness())


def test_a_copy_is_nearest_to_its_original_and_nearer_than_all_held_out_images(training):
    copies = dataset().train.images[[7, 21]]
    found = training.nearest(copies)
    assert found.rows.shape == found.distances.shape == (2, 7)
    np.testing.assert_array_equal(found.rows[:, 0], [7, 21])
    np.testing.assert_array_equal(training.share_nearer(found.distances[:, 0]), 0)


def test_held_out_distances_are_the_scale(training):
    quarters = [Brightness()(split.images).features for split in (dataset().test, dataset().train)]
    full = np.linalg.norm(quarters[0][:, None] - quarters[1], axis=2).min(1)
    np.testing.assert_allclose(training.held_out_distances, np.sort(full), rtol=1e-12)
    middle = training.held_out_distances[15]
    assert training.share_nearer(np.array([middle])) == 15 / 30


def test_the_sheet_shows_copies_first_and_marks_them(training):
    train = dataset().train.images
    other = np.full((1, 4, 4, 1), 255, np.uint8)
    sheet = training.sheet(np.concatenate([other, train[3:4]]), k=3)
    np.testing.assert_array_equal(sheet.neighbours[1, 0], train[3])
    np.testing.assert_array_equal(sheet.shares, [1, 0])
    assert "1 of 2 generated images" in sheet.caption and "brightness" in sheet.caption
    picture = draw(sheet)
    tile = np.kron(train[3, :, :, 0], np.ones((16, 16), np.uint8))  # enlarged to 64 pixels
    places = [
        (y, x)
        for y in range(picture.shape[0] - 64)
        for x in (8, 8 + 70 + 12)  # the generated image, and its nearest
        if (picture[y : y + 64, x : x + 64, 0] == tile).all()
    ]
    assert len(places) == 2 and places[0][0] == places[1][0]  # in one row
    red = np.argwhere(picture[..., 0].astype(int) - picture[..., 1] > 60)  # writing has soft edges
    assert len(red) and red[:, 0].min() > places[0][0] + 64 and red[:, 0].max() < places[0][0] + 64 + 20


def test_without_held_out_images_there_is_no_scale():
    train = dataset().train
    sheet = training_images(ImageDataset("all", train, train, ("x",)), Brightness()).sheet(train.images[:2])
    assert "No images are held out" in sheet.caption and "1%" not in sheet.caption


def test_few_training_images_have_few_neighbours():
    few = ImageDataset(
        "few", Split(dataset().train.images[:3], np.zeros(3, np.int32)), dataset().test, ("x",)
    )
    found = training_images(few, Brightness()).nearest(dataset().test.images[:5])
    assert found.rows.shape == (5, 3)


def test_the_images_of_a_run_are_those_it_was_trained_on(tmp_path):
    full = dataset()
    kept, _ = with_validation(full, 0.2, 3)
    about = {"validation": 0.2, "seed": 3, "fingerprint": {"images": len(kept.train)}}
    found = with_training_images(full, tmp_path, about)
    np.testing.assert_array_equal(found.train.images, kept.train.images)
    with pytest.raises(UserError, match="trained on 59 images, but halves has 60 training images"):
        with_training_images(full, tmp_path, {"fingerprint": {"images": 59}})


def test_labelled_images_only(tmp_path):
    full = dataset()
    np.savez(tmp_path / "labels-kept.npz", index=np.array([4, 8]), label=full.train.labels[[4, 8]])
    about = {"method": "labelled_only", "fingerprint": {"images": 2}}
    found = with_training_images(full, tmp_path / "labelled_only", about)
    np.testing.assert_array_equal(found.train.images, full.train.images[[4, 8]])


def test_features_for_other_images_are_warned_of(caplog):
    clothes = ImageDataset("clothes", *(open_dataset("digits").train,) * 2, ("hat", *"123456789"))
    training_images(clothes, open_extractor("digits"))
    assert "were learned to tell 0, 1, 2 and 7 more apart" in caplog.text
    caplog.clear()
    training_images(dataset(), Brightness())
    training_images(open_dataset("digits"), open_extractor("digits"))
    assert not caplog.text
    training_images(open_dataset("digits"), open_extractor("random"))
    assert "come from random weights" in caplog.text

"""Holding a test split out."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data.base import Split
from compare_gan.data.splits import complete, split_off


def numbered_images(labels):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Split(images, np.array(labels, np.int32))


def test_each_class_gives_its_share_and_nothing_is_lost():
    whole = numbered_images([0, 1] * 50 + [2] * 5)
    rest, out = split_off(whole, 1 / 5)
    np.testing.assert_array_equal(np.bincount(rest.labels), [40, 40, 4])
    np.testing.assert_array_equal(np.bincount(out.labels), [10, 10, 1])
    both = np.concatenate([rest.images, out.images]).ravel()
    np.testing.assert_array_equal(np.sort(both), np.arange(105))
    for part in (rest, out):
        np.testing.assert_array_equal(part.labels, whole.labels[part.images.ravel()])


def test_what_is_held_out_lies_at_even_distances():
    _, out = split_off(numbered_images([0] * 20), 1 / 5)
    np.testing.assert_array_equal(np.diff(out.images.ravel()), [5, 5, 5])


def test_no_class_vanishes_from_the_training_images():
    labels = np.repeat(np.arange(12), np.arange(1, 13))
    rest, _ = split_off(numbered_images(labels), 1 / 5)
    assert set(rest.labels) == set(range(12))


def test_too_few_images(tmp_path):
    with pytest.raises(UserError, match="no class has 3 images") as caught:
        complete(tmp_path, numbered_images([0, 0]), None, ("a",))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_splits_of_two_sizes(tmp_path):
    other = Split(np.zeros((1, 2, 3, 1), np.uint8), np.zeros(1, np.int32))
    with pytest.raises(UserError, match="train images are 1x1 but test images 2x3") as caught:
        complete(tmp_path, numbered_images([0]), other, ("a",))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_grey_split_beside_a_colour_split_becomes_colour(tmp_path):
    colour = Split(np.zeros((1, 1, 1, 3), np.uint8), np.zeros(1, np.int32))
    data = complete(tmp_path, numbered_images([0, 0, 0]), colour, ("a",))
    np.testing.assert_array_equal(data.train.images[2, 0, 0], [2, 2, 2])

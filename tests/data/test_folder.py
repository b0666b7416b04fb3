"""Folders of image files."""

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import open_dataset


def fill(folder, value, count=5, size=(4, 4), mode="RGB", suffix="png"):
    """`count` images in one colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new(mode, size, (value, i, 0) if mode == "RGB" else value).save(folder / f"{i}.{suffix}")


def refused(path, words, **options):
    with pytest.raises(UserError, match=words) as caught:
        open_dataset(str(path), **options)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_for_each_class(tmp_path):
    fill(tmp_path / "dog", 200, suffix="PNG")
    fill(tmp_path / "cat", 100, suffix="bmp")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "README.md").write_text("beside the classes")
    data = open_dataset(str(tmp_path))
    assert data.class_names == ("cat", "dog") and data.name == tmp_path.name
    assert (len(data.train), len(data.test)) == (8, 2)
    for split in (data.train, data.test):
        np.testing.assert_array_equal(split.images[:, 0, 0, 0], np.array([100, 200])[split.labels])


@pytest.mark.parametrize("test", ["test", "val", "validation"])
def test_train_and_test(tmp_path, test):
    fill(tmp_path / "train" / "a", 10)
    fill(tmp_path / "train" / "b", 20)
    fill(tmp_path / test / "b", 30, count=2)
    data = open_dataset(str(tmp_path))
    assert data.class_names == ("a", "b") and data.train.labels.tolist() == [0] * 5 + [1] * 5
    assert data.test.labels.tolist() == [1, 1] and set(data.test.images[:, 0, 0, 0]) == {30}


def test_train_alone_is_split(tmp_path):
    fill(tmp_path / "train" / "a", 10)
    data = open_dataset(str(tmp_path))
    assert (len(data.train), len(data.test), data.class_names) == (4, 1, ("a",))


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path / "train", 10)
    fill(tmp_path / "plane", 20)
    assert open_dataset(str(tmp_path)).class_names == ("plane", "train")


def test_grey_stays_grey_if_all_are(tmp_path):
    fill(tmp_path / "a", 100, mode="L")
    assert open_dataset(str(tmp_path)).spec.image_shape == (4, 4, 1)
    fill(tmp_path / "b", 100)
    assert open_dataset(str(tmp_path)).spec.image_shape == (4, 4, 3)


def test_image_size_makes_sizes_equal(tmp_path):
    fill(tmp_path / "a", 100, size=(6, 9))
    fill(tmp_path / "b", 100, size=(7, 5))
    with pytest.raises(UserError, match="/b/0.png: 5x7, but .*/a/0.png is 9x6; give image_size"):
        open_dataset(str(tmp_path))
    assert open_dataset(str(tmp_path), image_size=4).spec.image_shape == (4, 4, 3)


def test_a_broken_image_is_named(tmp_path):
    fill(tmp_path / "a", 100)
    (tmp_path / "a" / "3.png").write_bytes(b"not a picture")
    refused(tmp_path, "/a/3.png: not a readable image")


def test_an_empty_folder(tmp_path):
    refused(tmp_path, "no class folders; put the images of each class into a folder of its own")


def test_images_without_classes(tmp_path):
    fill(tmp_path, 10)
    refused(tmp_path, "no class folders")


def test_splits_without_classes(tmp_path):
    fill(tmp_path / "train", 10)
    fill(tmp_path / "test", 10)
    refused(tmp_path, "/train: no class folders")


def test_a_class_without_images(tmp_path):
    fill(tmp_path / "a", 10)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".hidden.png").write_bytes(b"")
    (tmp_path / "b" / "notes.txt").write_text("")
    refused(tmp_path, "/b: no images in this class; wanted files that end in .png")


def test_a_class_that_only_the_test_images_have(tmp_path):
    fill(tmp_path / "train" / "cats", 10)
    fill(tmp_path / "test" / "cat", 10)
    refused(tmp_path, "/test/cat: no class of the training images; did you mean 'cats'")


def test_too_few_to_hold_any_out(tmp_path):
    fill(tmp_path / "a", 10, count=1)
    data = open_dataset(str(tmp_path))
    np.testing.assert_array_equal(data.train.images, data.test.images)

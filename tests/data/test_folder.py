"""Folders of image files."""

import os

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
    (tmp_path / "README.md").write_text("next to the classes")
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


def test_all_grey_images_stay_grey(tmp_path):
    fill(tmp_path / "a", 100, mode="L")
    assert open_dataset(str(tmp_path)).spec.image_shape == (4, 4, 1)
    fill(tmp_path / "b", 100)
    assert open_dataset(str(tmp_path)).spec.image_shape == (4, 4, 3)


def test_image_size_makes_sizes_equal(tmp_path):
    fill(tmp_path / "a", 100, size=(6, 9))
    fill(tmp_path / "b", 100, size=(7, 5))
    with pytest.raises(UserError, match="/b/0.png: 5x7, but .*/a/0.png is 9x6; set image_size"):
        open_dataset(str(tmp_path))
    assert open_dataset(str(tmp_path), image_size=4).spec.image_shape == (4, 4, 3)


def test_a_broken_image_is_named(tmp_path):
    fill(tmp_path / "a", 100)
    (tmp_path / "a" / "3.png").write_bytes(b"not a picture")
    refused(tmp_path, "/a/3.png: not a readable image")


@pytest.mark.parametrize("inside", [[], ["a/"], ["notes.txt", "a/b/"], [".hidden.png", "__MACOSX/1.png"]])
def test_a_folder_without_images(tmp_path, inside):
    for name in inside:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).mkdir(parents=True) if name.endswith("/") else (tmp_path / name).write_text("")
    refused(tmp_path, "contains no images; expected files ending in .png")


def test_a_flat_folder_is_unlabelled(tmp_path):
    fill(tmp_path, 10)
    (tmp_path / "thumbs").mkdir()
    data = open_dataset(str(tmp_path))
    assert (len(data.train), len(data.test), data.class_names) == (4, 1, ())
    assert set(data.train.labels) == set(data.test.labels) == {-1}
    assert list(data.train.names) == ["0.png", "1.png", "3.png", "4.png"] and list(data.test.names) == [
        "2.png"
    ]


def test_flat_splits_are_unlabelled(tmp_path):
    fill(tmp_path / "train", 10)
    fill(tmp_path / "test", 20, count=2)
    data = open_dataset(str(tmp_path))
    assert (len(data.train), len(data.test), data.class_names) == (5, 2, ())
    assert set(data.test.labels) == {-1} and set(data.test.images[:, 0, 0, 0]) == {20}


def test_a_class_may_have_folders(tmp_path):
    """As in Tiny ImageNet: train/<class>/images/<image>."""
    fill(tmp_path / "train" / "a" / "images", 10, count=2)
    fill(tmp_path / "train" / "b" / "x" / "y", 20, count=2)
    fill(tmp_path / "train" / "b" / "x", 30, count=1)
    fill(tmp_path / "val" / "b", 40, count=1)
    data = open_dataset(str(tmp_path))
    assert data.class_names == ("a", "b") and data.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert list(data.train.names) == [
        "a/images/0.png",
        "a/images/1.png",
        "b/x/0.png",
        "b/x/y/0.png",
        "b/x/y/1.png",
    ]
    assert data.train.images[:, 0, 0, 0].tolist() == [10, 10, 30, 20, 20]


def test_a_single_outer_folder_is_skipped(tmp_path):
    fill(tmp_path / "pets" / "v2" / "cat", 10)
    fill(tmp_path / "pets" / "v2" / "dog", 20)
    data = open_dataset(str(tmp_path))
    assert data.class_names == ("cat", "dog") and data.train.names[0] == "cat/0.png"
    fill(tmp_path / "one" / "cat", 10)
    assert open_dataset(str(tmp_path / "one")).class_names == ("cat",)


def test_images_beside_folders_of_images(tmp_path):
    fill(tmp_path / "cat", 10)
    fill(tmp_path, 20, count=1)
    refused(
        tmp_path, "/0.png: is next to folders of images such as cat/0.png; put every image into the folder"
    )


@pytest.mark.parametrize(
    "train, test, words",
    [
        ("train", "test/a", "/test: has class folders, but train/ has none"),
        ("train/a", "test", "/test/0.png: not in a class folder, but the training images are"),
    ],
)
def test_classes_in_one_split_only(tmp_path, train, test, words):
    fill(tmp_path / train, 10)
    fill(tmp_path / test, 10)
    refused(tmp_path, words)


def test_images_outside_of_the_splits_are_skipped(tmp_path):
    fill(tmp_path / "train" / "a", 10)
    fill(tmp_path / "test" / "a", 10)
    fill(tmp_path / "extra", 99)
    fill(tmp_path, 99, count=1)
    data = open_dataset(str(tmp_path))
    assert (len(data.train), len(data.test), data.class_names) == (5, 5, ("a",))


def test_links_are_followed_without_cycles(tmp_path):
    fill(tmp_path / "elsewhere" / "cat", 10)
    (tmp_path / "data" / "dog").mkdir(parents=True)
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "data" / "dog" / "0.png").symlink_to(tmp_path / "elsewhere" / "cat" / "3.png")
    (tmp_path / "data" / "dog" / "up").symlink_to(tmp_path / "data")
    data = open_dataset(str(tmp_path / "data"))
    assert data.class_names == ("cat", "dog") and np.bincount(data.train.labels).tolist() == [4, 1]


def test_special_files_are_not_opened(tmp_path):
    """Reading a pipe would block forever; a dangling link is a broken image."""
    fill(tmp_path / "a", 10)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "dir.png").mkdir()
    assert len(open_dataset(str(tmp_path)).train) == 4
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "nothing")
    refused(tmp_path, "/a/link.png: cannot be read .No such file")


def test_names_that_are_not_utf_8(tmp_path):
    fill(tmp_path / "a", 10)
    name = os.fsdecode(b"\xff\n.png")
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / name)
    data = open_dataset(str(tmp_path))
    assert f"a/{name}" in [*data.train.names, *data.test.names]
    (tmp_path / "a" / name).write_bytes(b"junk")
    refused(tmp_path, r"/a/.udcff.n.png: not a readable image")


def test_a_class_without_images(tmp_path):
    fill(tmp_path / "a", 10)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".hidden.png").write_bytes(b"")
    (tmp_path / "b" / "notes.txt").write_text("")
    refused(tmp_path, "/b: no images in this class; remove the folder")


def test_a_class_of_the_test_split_only(tmp_path):
    fill(tmp_path / "train" / "cats", 10)
    fill(tmp_path / "test" / "cat", 10)
    refused(tmp_path, "/test/cat: not a class of the training images; did you mean 'cats'")


def test_too_few_images_to_hold_out(tmp_path):
    fill(tmp_path / "a", 10, count=1)
    data = open_dataset(str(tmp_path))
    np.testing.assert_array_equal(data.train.images, data.test.images)

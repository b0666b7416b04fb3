"""Images in memory and streamed are the same, as are the skipped ones."""

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.streamed import Streamed

STREAMED, IN_MEMORY = {"memory": 0}, {}


@pytest.fixture
def folder(tmp_path):
    """Twenty images in two classes; the green value of each is its index."""
    for i in range(20):
        path = tmp_path / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (6, 4), (i % 2 * 100, i, 0)).save(path)
    return tmp_path


def spoil(folder, *numbers):
    for i in numbers:
        path = folder / "ab"[i % 2] / f"{i:02}.png"
        path.write_bytes(b"junk" if i % 3 else path.read_bytes()[:44])  # some have a good header


def numbers(split):
    return split.images[:][:, 0, 0, 1].tolist()


@pytest.mark.parametrize("memory", [STREAMED, IN_MEMORY], ids=["streamed", "in_memory"])
@pytest.mark.parametrize("broken", [[0], [5, 6], [0, 1, 2, 3, 18], range(0, 20, 2)])
@pytest.mark.parametrize("size", [None, 2])
def test_broken_images_are_skipped_and_logged(folder, memory, broken, size, caplog):
    spoil(folder, *broken)
    data = open_dataset(str(folder), reading=LoadOptions(size, broken="skip", **memory))
    assert isinstance(data.train.images, Streamed) is (memory is STREAMED)
    found = [*numbers(data.train), *numbers(data.test)]
    assert sorted(found) == sorted(set(range(20)) - set(broken))
    for split in (data.train, data.test):
        assert numbers(split) == [int(name[2:4]) for name in split.names]
        np.testing.assert_array_equal(split.labels, np.array(numbers(split)) % 2)
    lines = [record.getMessage() for record in caplog.records]
    named = [line for line in lines if "are held out" not in line]
    counts = [int(line.split("skipped ")[1].split(" of ")[0]) for line in named if " of " in line]
    assert sum(counts) == len(broken) and sum("skipped: " in line for line in named) == sum(
        min(3, count) for count in counts
    )
    assert all(str(folder) in line and "\n" not in line for line in named)


def test_broken_images_are_fatal_in_memory(folder):
    spoil(folder, 6, 7, 8)
    with pytest.raises(UserError, match=r"/06.png: not a readable image; .* \(and 2 more\); or skip them"):
        open_dataset(str(folder))


def test_broken_streamed_images_fail_when_read(folder):
    spoil(folder, 0, 4)
    data = open_dataset(str(folder), reading=LoadOptions(memory=0))
    with pytest.raises(UserError, match="/a/00.png: not a readable image"):
        data.train.images[np.array([3, 0])]
    assert data.train.images[3:5].shape == (2, 4, 6, 3)


@pytest.mark.parametrize("memory", [STREAMED, IN_MEMORY], ids=["streamed", "in_memory"])
def test_no_image_can_be_read(folder, memory):
    spoil(folder, *range(20))
    with pytest.raises(
        UserError, match="none of 16 images can be read; first error: .*/a/00.png: not a"
    ) as caught:
        open_dataset(str(folder), reading=LoadOptions(broken="skip", **memory))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [None, 3])
def test_streamed_images_equal_those_in_memory(folder, size):
    in_memory, streamed = (
        open_dataset(str(folder), reading=LoadOptions(size, **m)) for m in (IN_MEMORY, STREAMED)
    )
    for a, b in ((in_memory.train, streamed.train), (in_memory.test, streamed.test)):
        np.testing.assert_array_equal(a.images, b.images[:])
        np.testing.assert_array_equal(a.labels, b.labels)
        assert list(a.names) == list(b.names)
    assert in_memory.spec == streamed.spec and in_memory.fit == streamed.fit


@pytest.mark.parametrize("memory, streams", [(16 * 4 * 6 * 3, False), (16 * 4 * 6 * 3 - 1, True)])
def test_data_larger_than_memory_is_streamed(folder, memory, streams):
    data = open_dataset(str(folder), reading=LoadOptions(memory=memory))
    assert isinstance(data.train.images, Streamed) is streams


def test_streamed_images_of_different_sizes(folder):
    Image.new("RGB", (9, 9)).save(folder / "a" / "08.png")
    data = open_dataset(str(folder), reading=LoadOptions(memory=0))
    with pytest.raises(UserError, match="/a/08.png: 9x9, but others are 4x6; set image_size"):
        data.train.images[:]


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize("brightest, warned", [(31, True), (32, False)])
def test_nearly_black_images_are_reported(tmp_path, caplog, memory, brightest, warned):
    for i in range(6):
        Image.new("L", (3, 3), brightest - i).save(tmp_path / f"{i}.png")
    open_dataset(str(tmp_path), reading=LoadOptions(memory=memory))
    assert ("nearly black" in caplog.text) is warned

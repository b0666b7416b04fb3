"""IDX files against arrays packed here by their published format."""

import gzip
import struct

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import open_dataset
from compare_gan.data.source import find

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (10, 5, 4), np.uint8), np.arange(10, dtype=np.uint8) % 3


def idx(array, kind=8):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def write(folder, names, images=IMAGES, labels=LABELS):
    for name in names:
        data = idx(images if "images" in name else labels)
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def refused(path, words):
    with pytest.raises(UserError, match=words) as caught:
        find(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        [
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ],
        [
            "train-images.idx3-ubyte",
            "train-labels.idx1-ubyte",
            "t10k-images.idx3-ubyte",
            "t10k-labels.idx1-ubyte",
        ],
        [
            f"kmnist-{split}-{kind}-idx{n}-ubyte.gz"
            for split in ("train", "test")
            for kind, n in (("images", 3), ("labels", 1))
        ],
    ],
)
def test_a_folder_or_any_file_of_it(tmp_path, names):
    write(tmp_path, [*names, "README.txt"])
    for path in (tmp_path, tmp_path / names[0]):
        data = open_dataset(str(path))
        for split in (data.train, data.test):
            np.testing.assert_array_equal(split.images[:, :, :, 0], IMAGES)
            np.testing.assert_array_equal(split.labels, LABELS)
        assert data.class_names == ("0", "1", "2")


def test_without_labels(tmp_path):
    contents = find(str(write(tmp_path, ["train-images-idx3-ubyte"])))
    assert set(contents.train.labels) == {-1} and contents.test is None
    assert "the images are unlabelled" in contents.notes[0]


def test_several_data_sets_in_one_folder(tmp_path):
    names = [
        f"emnist-{name}-train-{kind}-ubyte.gz" for name in "ab" for kind in ("images-idx3", "labels-idx1")
    ]
    refused(write(tmp_path, names), "contains several data sets .emnist-a, emnist-b.; pass a file of one")
    assert len(find(str(tmp_path / names[0])).train) == 10


def test_damaged_files(tmp_path):
    file = write(tmp_path, ["train-images-idx3-ubyte.gz"]) / "train-images-idx3-ubyte.gz"
    content = file.read_bytes()
    spoiled = [
        content[:-20],
        content[:40] + b"\xff\xff\xff" + content[43:],
        b"",
        b"text",
        gzip.compress(b"\0\0\x08\x03"),
    ]
    for data in (*spoiled, idx(IMAGES)[:-1], idx(IMAGES) + b"x"):
        file.write_bytes(data)
        refused(tmp_path, "train-images-idx3-ubyte.gz: truncated, corrupt or not an IDX file")
    file.write_bytes(idx(IMAGES, kind=0x0D))
    refused(tmp_path, "does not contain unsigned bytes")
    file.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**10, 2**10))
    refused(tmp_path, "more than the memory budget")


def test_files_that_do_not_match(tmp_path):
    write(tmp_path, ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"], labels=LABELS[:4])
    refused(tmp_path, "train-labels-idx1-ubyte has 4 entries for 10 images")
    (tmp_path / "train-images-idx3-ubyte").unlink()
    refused(tmp_path, "train-labels-idx1-ubyte: labels without images")

"""NumPy files."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, arrays, open_dataset
from compare_gan.data.source import find

IMAGES = np.arange(10 * 2 * 3, dtype=np.uint8).reshape(10, 2, 3)
LABELS = np.arange(10) % 2


def test_all_four_arrays(tmp_path):
    path = tmp_path / "small.npz"
    labels = np.arange(10) % 3
    np.savez(path, images=IMAGES, labels=labels, test_images=IMAGES[:4] + 100, test_labels=[0, 2, 1, 1])
    assert not find(str(path)).notes
    data = open_dataset(str(path))
    assert data.name == "small.npz" and data.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(data.train.images, IMAGES[..., None])
    np.testing.assert_array_equal(data.train.labels, labels)
    np.testing.assert_array_equal(data.test.images, IMAGES[:4, :, :, None] + 100)
    np.testing.assert_array_equal(data.test.labels, [0, 2, 1, 1])
    assert data.train.labels.dtype == data.test.labels.dtype == np.int32


def test_without_a_test_split_a_fifth_of_each_class_is_held_out(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    data = open_dataset(str(tmp_path / "a.npz"))
    assert np.bincount(data.train.labels).tolist() == [4, 4]
    assert np.bincount(data.test.labels).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_without_labels(tmp_path, name):
    if name.endswith("npy"):
        np.save(tmp_path / name, IMAGES)
    else:
        np.savez(tmp_path / name, images=IMAGES)
    data = open_dataset(str(tmp_path / name))
    assert (len(data.train), len(data.test), data.class_names) == (8, 2, ())
    assert set(data.train.labels) == {-1} and data.spec.num_classes == 0


def test_floats_are_scaled_to_bytes(tmp_path):
    values = np.linspace(0, 1, 5 * 4, dtype=np.float32).reshape(5, 2, 2, 1)
    np.save(tmp_path / "a.npy", values)
    data = open_dataset(str(tmp_path / "a.npy"))
    bytes_ = np.sort(np.concatenate([data.train.images, data.test.images]).ravel())
    np.testing.assert_array_equal(bytes_, [round(i * 255 / 19) for i in range(20)])


def test_image_size(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 6, 9, 3), np.uint8))
    assert open_dataset(str(tmp_path / "a.npy"), image_size=4).spec.image_shape == (4, 4, 3)
    assert open_dataset(str(tmp_path / "a.npy")).spec.image_shape == (6, 9, 3)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"labels": LABELS}, r"no array 'images'; it has: labels \[10\]"),
        ({"mu": LABELS, "sigma": np.eye(10)}, r"no array 'images'; it has: mu \[10\], sigma \[10, 10\]"),
        ({"a": IMAGES, "b": IMAGES}, "no array 'images'; it has: a .*, b"),
        ({"x": IMAGES, "imgs": IMAGES}, "x and imgs are both candidates for images; keep one of them"),
        ({}, "no array 'images'; it has: nothing"),
        ({"images": IMAGES[0]}, r"images has the shape \[2, 3\]"),
        ({"images": IMAGES[:, :, :, None].repeat(5, 3)}, r"images has the shape \[10, 2, 3, 5\]"),
        (
            {"images": IMAGES.reshape(10, 6)},
            r"images has the shape \[10, 6\]; .*images.reshape\(N, H, W, C\)",
        ),
        (
            {"images": np.zeros((5, 4, 4, 4), np.uint8)},
            r"shape \[5, 4, 4, 4\].*alpha channel: images\[..., :3\]",
        ),
        ({"images": np.zeros((5, 4, 4, 2))}, r"images has the shape \[5, 4, 4, 2\]; expected .* C = 1 or 3$"),
        ({"images": IMAGES > 3}, "images is bool; expected uint8"),
        ({"images": IMAGES.astype(np.uint16)}, "images is uint16; expected uint8"),
        ({"images": np.array(3)}, r"images has the shape \[\]"),
        ({"images": IMAGES.astype(str)}, "images is <U3; expected uint8"),
        ({"images": IMAGES, "labels": np.ones((10, 2))}, r"labels is \[10, 2\] but not one-hot"),
        ({"images": IMAGES, "labels": np.full((10, 2), 0.5)}, r"labels is \[10, 2\] but not one-hot"),
        (
            {"images": IMAGES, "labels": np.zeros((10, 2, 2))},
            r"labels is float64 \[10, 2, 2\]; expected class indices or strings \[N\]",
        ),
        ({"images": IMAGES[:0]}, r"images has the shape \[0, 2, 3\]"),
        ({"images": IMAGES.astype(np.int64)}, "images is int64; expected uint8"),
        ({"images": IMAGES.astype(float)}, "images ranges from 0 to 59; .* save images.astype"),
        ({"images": IMAGES / 59 * 2 - 1}, r"images ranges from -1 to 1; .* save \(images \+ 1\) / 2"),
        ({"images": IMAGES / 59 * 1.0123456}, "images ranges from 0 to 1.0123456;"),
        ({"images": IMAGES * np.nan}, "images ranges from nan"),
        ({"images": np.array([None] * 8).reshape(2, 2, 2)}, "not a NumPy file of plain arrays"),
        ({"images": IMAGES, "labels": LABELS[:9]}, "labels has 9 entries for 10 images"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels contains 0.5; class indices are integers"),
        ({"images": IMAGES, "labels": LABELS - 2}, "labels contains -2"),
        ({"images": IMAGES, "labels": LABELS * 10**9}, "labels contains 1000000000"),
        ({"images": IMAGES, "labels": LABELS, "test_labels": LABELS}, "test_labels but no matching images"),
        ({"images": IMAGES, "test_images": IMAGES[:, :1]}, "train images are 2x3 but test images are 1x3"),
    ],
)
def test_a_bad_file_has_a_one_line_error(tmp_path, members, words):
    path = tmp_path / "a.npz"
    np.savez(path, **members)
    with pytest.raises(UserError, match=words) as caught:
        open_dataset(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
@pytest.mark.parametrize("keep", [0, 5, 300, -30])
def test_a_truncated_file(tmp_path, name, keep):
    np.savez(tmp_path / "complete.npz", images=IMAGES, labels=LABELS)
    (tmp_path / name).write_bytes((tmp_path / "complete.npz").read_bytes()[:keep])
    with pytest.raises(UserError, match=f"{name}: cannot be read .damaged") as caught:
        open_dataset(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_npy_file_stays_on_disk(tmp_path):
    """Arrays larger than memory are streamed, with the same images."""
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3), np.uint8)
    for name, stored in (("a.npy", images), ("b.npy", np.asfortranarray(images))):
        np.save(tmp_path / name, stored)
        in_memory = open_dataset(str(tmp_path / name))
        streamed = open_dataset(str(tmp_path / name), reading=LoadOptions(memory=0))
        assert not isinstance(streamed.train.images, np.ndarray)
        np.testing.assert_array_equal(streamed.train.images[:], in_memory.train.images)
        assert isinstance(find(str(tmp_path / name)).train.records.array, np.memmap)


def test_arrays_larger_than_memory(tmp_path, monkeypatch):
    """The limit applies to the decompressed size."""
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((10, 50, 50), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((10, 50, 50), np.float32))
    np.save(tmp_path / "c.npy", np.zeros((10, 50, 50), np.uint8))
    monkeypatch.setattr(arrays, "memory_budget", lambda: 20_000)
    for name in ("a.npz", "b.npy"):
        with pytest.raises(
            UserError, match=f"{name}: its arrays take .*; save only the images, as uint8 in an"
        ):
            open_dataset(str(tmp_path / name))
    assert len(open_dataset(str(tmp_path / "c.npy")).train) == 8


def test_a_header_with_a_huge_claimed_size(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    data = (tmp_path / "a.npy").read_bytes().replace(b"(10, 2, 3)", b"(9**9,2,3)")
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(UserError, match="a.npy: cannot be read .damaged"):
        open_dataset(str(tmp_path / "a.npy"))
    (tmp_path / "a.npy").write_bytes(data.replace(b"(9**9,2,3)", b"(99999,2,3"[:9] + b")"))
    with pytest.raises(UserError, match="a.npy: cannot be read .damaged"):
        open_dataset(str(tmp_path / "a.npy"))


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="a.npy: cannot be read"):
        open_dataset(str(tmp_path / "a.npy"))


COLOUR = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), np.uint8)
CLASSES = np.array([0, 2, 1, 0, 1, 2])


@pytest.mark.parametrize(
    "members",
    [
        {"arr_0": COLOUR, "arr_1": CLASSES},
        {"x": COLOUR, "y": CLASSES},
        {"X": COLOUR.transpose(0, 3, 1, 2), "Y": CLASSES},
        {"x": COLOUR, "y": CLASSES, "z": np.zeros((6, 128))},
        {"data": COLOUR, "labels": CLASSES[:, None]},
        {"samples": COLOUR, "label": np.eye(3)[CLASSES]},
        {"imgs": COLOUR, "targets": np.eye(3, dtype=bool)[CLASSES]},
        {"anything": COLOUR, "labels": CLASSES.astype(float)},
        {"x_train": COLOUR, "y_train": CLASSES.astype(str)},
        {"train_images": COLOUR, "train_labels": CLASSES},
        {"images_train": COLOUR, "labels_train": CLASSES.astype("S")},
    ],
)
def test_common_names_and_shapes(tmp_path, members):
    np.savez(tmp_path / "a.npz", **members)
    found = find(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal([found.train.records[i] for i in range(6)], COLOUR)
    assert found.train.labels.tolist() == CLASSES.tolist() and found.class_names == ("0", "1", "2")
    assert found.notes[0].startswith("reads ") and found.test is None


def test_class_names_of_the_file(tmp_path):
    np.savez(tmp_path / "a.npz", images=COLOUR, labels=CLASSES, class_names=["dog", "cat", "eel"])
    found = find(str(tmp_path / "a.npz"))
    assert found.class_names == ("dog", "cat", "eel") and found.train.labels.tolist() == CLASSES.tolist()
    assert not found.notes
    np.savez(tmp_path / "b.npz", images=COLOUR, labels=CLASSES, class_names=["dog", "cat"])
    with pytest.raises(UserError, match="contains the label 2, but has only 2 class names"):
        find(str(tmp_path / "b.npz"))


@pytest.mark.parametrize("test", ["x_test y_test", "test_images test_labels", "val_images val_labels"])
def test_other_names_of_the_test_split(tmp_path, test):
    images, labels = test.split()
    np.savez(
        tmp_path / "a.npz", x_train=COLOUR, y_train=CLASSES, **{images: COLOUR[:2], labels: CLASSES[1:3]}
    )
    found = find(str(tmp_path / "a.npz"))
    assert (len(found.train), found.test.labels.tolist()) == (6, [2, 1])


def test_positional_arrays_are_train_and_test(tmp_path):
    np.savez(tmp_path / "a.npz", COLOUR, CLASSES, COLOUR[:2], CLASSES[:2])
    found = find(str(tmp_path / "a.npz"))
    assert (len(found.train), found.test.labels.tolist()) == (6, [0, 2])


def test_validation_images_are_left_out_if_there_are_test_images(tmp_path):
    parts = {
        f"{split}_{kind}": array[:n]
        for n, split in enumerate(("", "test", "val", "train"), 3)
        for kind, array in (("images", COLOUR), ("labels", CLASSES))
        if split
    }
    np.savez(tmp_path / "a.npz", **parts)
    found = find(str(tmp_path / "a.npz"))
    assert (len(found.train), len(found.test)) == (6, 4)
    assert "ignores its arrays val_images, val_labels" in found.notes


def test_partly_labelled_arrays(tmp_path):
    for labels in (
        [0, -1, 1, -1, 1, 0],
        [0, np.nan, 1, np.nan, 1, 0],
        np.array([[1, 0], [0, 0], [0, 1]])[[0, 1, 2, 1, 2, 0]],
    ):
        np.savez(tmp_path / "a.npz", images=COLOUR, labels=labels)
        found = find(str(tmp_path / "a.npz"))
        assert found.train.labels.tolist() == [0, -1, 1, -1, 1, 0] and found.class_names == ("0", "1")
    np.savez(tmp_path / "a.npz", images=COLOUR, labels=["cat", "", "dog", "NaN", "dog ", "cat"])
    found = find(str(tmp_path / "a.npz"))
    assert found.train.labels.tolist() == [0, -1, 1, -1, 1, 0] and found.class_names == ("cat", "dog")


def test_unlabelled_arrays_are_added_to_the_training_images(tmp_path):
    np.savez(tmp_path / "a.npz", images=COLOUR[:2], labels=[0, 1], unlabelled_images=COLOUR[2:])
    found = find(str(tmp_path / "a.npz"))
    assert found.train.labels.tolist() == [0, 1, -1, -1, -1, -1]
    np.testing.assert_array_equal([found.train.records[i] for i in range(6)], COLOUR)
    assert "4 images of unlabelled_images are added to the training images without labels" in found.notes


def test_labels_of_one_split(tmp_path):
    np.savez(tmp_path / "a.npz", images=COLOUR, labels=CLASSES, test_images=COLOUR)
    assert find(str(tmp_path / "a.npz")).test.labels.tolist() == [-1] * 6
    np.savez(tmp_path / "a.npz", images=COLOUR, test_images=COLOUR, test_labels=CLASSES)
    assert find(str(tmp_path / "a.npz")).train.labels.tolist() == [-1] * 6


def test_rounding_errors_of_floats_are_clipped(tmp_path):
    np.save(tmp_path / "a.npy", np.array([-1e-7, 1 + 1e-7, 1, 0.5])[:, None, None])
    found = find(str(tmp_path / "a.npy")).train.records
    assert [found[i].item() for i in range(4)] == [0, 255, 255, 128]

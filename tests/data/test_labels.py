"""Which labels are kept, and the label file."""

import zipfile

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data.labels import choose_kept, read_labels, write_labels

LABELS = np.repeat([0, 1, 2], [100, 30, 3])


def test_each_class_keeps_its_share_but_at_least_one():
    kept = choose_kept(LABELS, 0.1, seed=0)
    np.testing.assert_array_equal(np.bincount(LABELS[kept]), [10, 3, 1])
    np.testing.assert_array_equal(kept, np.unique(kept))


def test_all_of_them_is_all_of_them():
    np.testing.assert_array_equal(choose_kept(LABELS, 1, seed=5), np.arange(133))


def test_the_seed_decides_and_a_smaller_fraction_is_a_part_of_a_larger():
    ten = choose_kept(LABELS, 0.1, seed=0)
    np.testing.assert_array_equal(ten, choose_kept(LABELS.copy(), 0.1, seed=0))
    assert set(ten) != set(choose_kept(LABELS, 0.1, seed=1))
    assert set(ten) < set(choose_kept(LABELS, 0.3, seed=0))


def test_every_image_of_a_class_is_as_likely():
    counts = sum(np.isin(np.arange(20), choose_kept(np.zeros(20, int), 0.25, seed)) for seed in range(2000))
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_unlabelled_images_are_never_chosen():
    labels = np.array([-1, 0, -1, 1])
    np.testing.assert_array_equal(choose_kept(labels, 1.0, seed=0), [1, 3])
    with pytest.raises(UserError, match="no image has a label"):
        choose_kept(np.full(4, -1), 0.5, seed=0)


@pytest.mark.parametrize("fraction", [0, -0.1, 2, float("nan")])
def test_a_fraction_out_of_range(fraction):
    with pytest.raises(UserError, match=rf"label fraction {fraction} is not in \(0, 1\]") as caught:
        choose_kept(LABELS, fraction, seed=0)
    assert "\n" not in str(caught.value)


def test_hard_labels_come_back_and_the_rest_is_unlabelled(tmp_path):
    write_labels(tmp_path / "labels.npz", np.array([4, 1]), np.array([7, 2]))
    found = read_labels(tmp_path / "labels.npz", 6)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [-1, 2, -1, -1, 7, -1])


def test_soft_labels_come_back_and_the_rest_is_zero(tmp_path):
    soft = np.array([[0.25, 0.75], [1, 0]])
    write_labels(tmp_path / "labels.npz", np.array([2, 0]), soft)
    found = read_labels(tmp_path / "labels.npz", 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 0], [0, 0], [0.25, 0.75]])


def test_the_same_labels_make_the_same_bytes_on_any_day(tmp_path):
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    write_labels(a, np.array([4, 1], np.int64), np.array([7, 2], np.int64))
    write_labels(b, np.array([1, 4], np.int32), np.array([2, 7], np.uint8))
    assert a.read_bytes() == b.read_bytes()
    assert {item.date_time for item in zipfile.ZipFile(a).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npz", "b.npz"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"index": [0, 10], "label": [0, 1]}, "index 10 is out of range for 10 images"),
        ({"index": [-1, 2], "label": [0, 1]}, "index -1 is negative"),
        ({"index": [2, 2], "label": [0, 1]}, "index 2 is given twice"),
        ({"index": [0, 1, 2], "label": [0, 1]}, r"3 indices but labels of shape \[2\]"),
        ({"index": [0], "label": 1}, "1 indices but labels of shape"),
        ({"index": [0.0, 1.0], "label": [0, 1]}, "index is float64"),
        ({"index": [0, 1], "label": [0, -1]}, "label -1 is negative"),
        ({"index": [0, 1], "label": [0.5, 0.5]}, "label is float64"),
        ({"index": [0], "label": [[0.5, 0.7]]}, "not a set of probabilities"),
        ({"index": [0], "label": [[np.nan, 1.0]]}, "not a set of probabilities"),
        ({"index": [0], "labels": [0]}, "holds index, labels; wanted index and label"),
        ({"index": np.array([None]), "label": [0]}, "not a NumPy file of plain arrays"),
    ],
)
def test_a_bad_label_file_is_told_in_one_line(tmp_path, arrays, words):
    path = tmp_path / "labels.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=words) as caught:
        read_labels(path, 10)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_and_a_foreign_file(tmp_path):
    with pytest.raises(UserError, match="none.npz: cannot be read .No such file"):
        read_labels(tmp_path / "none.npz", 10)
    (tmp_path / "text.npz").write_text("index,label\n")
    with pytest.raises(UserError, match="text.npz: cannot be read .*not a NumPy file"):
        read_labels(tmp_path / "text.npz", 10)


def test_bad_labels_are_not_written(tmp_path):
    with pytest.raises(UserError, match="index 1 is given twice"):
        write_labels(tmp_path / "labels.npz", np.array([1, 1]), np.array([0, 0]))
    assert not list(tmp_path.iterdir())

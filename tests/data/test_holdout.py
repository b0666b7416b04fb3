"""Held-out images of sources without a test split, with missing labels or a label file."""

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.holdout import MIN_LABELS_TO_HOLD_OUT


@pytest.fixture
def save(tmp_path):
    """Writes an .npz of N images whose pixels encode the image index, and returns its path."""

    def save(labels, name="some.npz"):
        images = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
        np.savez(tmp_path / name, images=images, labels=np.array(labels))
        return str(tmp_path / name)

    return save


def numbers(split):
    """Indices of the images in a split."""
    return split.images[:][:, 0, 0, 0].tolist()


def test_a_fifth_of_each_class_is_held_out_with_a_note(save, caplog):
    data = open_dataset(save([0] * 10 + [1] * 20))
    assert np.bincount(data.test.labels).tolist() == [2, 4]
    assert "6 of 30 images are held out for scores; --holdout 0 holds out none" in caplog.text


def test_another_fraction_is_held_out_without_a_note(save, caplog):
    data = open_dataset(save([0] * 10 + [1] * 20), reading=LoadOptions(holdout=0.5))
    assert np.bincount(data.test.labels).tolist() == [5, 10] and "held out" not in caplog.text


def test_nothing_is_held_out(save, caplog):
    data = open_dataset(save([0] * 10 + [1] * 20), reading=LoadOptions(holdout=0))
    assert len(data.train) == len(data.test) == 30
    assert "scores are measured against the training images" in caplog.text


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_an_invalid_fraction(share):
    with pytest.raises(UserError, match=r"holdout is .*; it is a fraction of the images, in \[0, 1\)"):
        LoadOptions(holdout=share)


def test_few_labels_stay_in_training(save, caplog):
    labels = np.where(np.arange(100) % 10 == 0, np.arange(100) // 50, -1)
    data = open_dataset(save(labels))
    assert (data.train.labels >= 0).sum() == 10 and (data.test.labels == -1).all()
    assert len(data.test) == 18  # a fifth of the 90 without a label
    assert "none of them labelled" in caplog.text


def test_few_soft_labels_stay_in_training(save, tmp_path):
    path = save([-1] * 100)
    rows = "".join(f"{i},{0.9 if i < 50 else 0.2},{0.1 if i < 50 else 0.8}\n" for i in range(2, 100, 10))
    (tmp_path / "soft.csv").write_text(f"index,a,b\n{rows}")
    data = open_dataset(path, reading=LoadOptions(labels=str(tmp_path / "soft.csv")))
    assert data.train.labels.any(1).sum() == 10 and not data.test.labels.any()


def test_many_labels_are_shared_with_the_test_split(save):
    labels = np.repeat([0, -1], [MIN_LABELS_TO_HOLD_OUT, 20])
    data = open_dataset(save(labels))
    assert (data.test.labels == 0).sum() == MIN_LABELS_TO_HOLD_OUT // 5 and (
        data.test.labels == -1
    ).sum() == 4


def test_a_label_file_does_not_change_the_split(save, tmp_path):
    path = save([0, 1] * 15)
    plain = open_dataset(path)
    rows = "".join(f"{i},{i % 2}\n" for i in (0, 1, 7))
    (tmp_path / "few.csv").write_text(f"index,label\n{rows}")
    few = open_dataset(path, reading=LoadOptions(labels=str(tmp_path / "few.csv")))
    assert numbers(few.train) == numbers(plain.train) and numbers(few.test) == numbers(plain.test)
    assert [i for i, y in zip(numbers(few.train), few.train.labels, strict=True) if y >= 0] == [
        i for i in (0, 1, 7) if i in numbers(few.train)
    ]
    assert np.array_equal(few.test.labels, plain.test.labels)  # the source's own


def test_a_file_replaces_the_labels_of_all_sources(save, tmp_path, caplog):
    (tmp_path / "few.csv").write_text("index,label\n2,0\n12,1\n")
    pool, labelled = save([-1] * 50, "pool.npz"), save([0, 1] * 10, "labelled.npz")
    data = open_dataset([pool, labelled], reading=LoadOptions(labels=str(tmp_path / "few.csv")))
    assert [numbers(data.train)[i] for i in np.flatnonzero(data.train.labels >= 0)] == [2, 12]
    assert (data.test.labels >= 0).sum() == 4  # these keep the labels that their source gives them
    assert "20 other images have a label in the data but not in few.csv" in caplog.text


def test_index_counts_the_images_of_the_source(save, tmp_path):
    (tmp_path / "all.csv").write_text(
        "index,label\n" + "".join(f"{i},{'even' if i % 2 == 0 else 'odd'}\n" for i in range(30))
    )
    np.savez(
        tmp_path / "flat.npz",
        images=np.arange(30, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8),
    )
    data = open_dataset(str(tmp_path / "flat.npz"), reading=LoadOptions(labels=str(tmp_path / "all.csv")))
    assert data.class_names == ("even", "odd")
    for split in (data.train, data.test):
        assert split.labels.tolist() == [i % 2 for i in numbers(split)]


def test_sources_join(save):
    labelled, pool = save([0, 1] * 10, "a.npz"), save([-1] * 30, "b.npz")
    data = open_dataset([labelled, pool])
    assert len(data.train) + len(data.test) == 50 and data.spec.num_classes == 2
    assert (data.train.labels >= 0).sum() == 20


def test_test_data(save):
    data = open_dataset(save([0, 1] * 10, "a.npz"), reading=LoadOptions(test_data=save([1] * 5, "b.npz")))
    assert len(data.train) == 20 and data.test.labels.tolist() == [1] * 5


def test_test_data_of_other_classes(save):
    with pytest.raises(
        UserError, match="b.npz: has the class '2', which .*a.npz lacks; its classes are 0, 1"
    ):
        open_dataset(save([0, 1] * 10, "a.npz"), reading=LoadOptions(test_data=save([2] * 5, "b.npz")))

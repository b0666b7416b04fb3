"""Unused classes, and class names that are not unique."""

import numpy as np

from compare_gan.data.classes import with_used_classes
from compare_gan.data.records import Contents, Pixels, StoredSplit


def source(train, names, test=None):
    def part(labels):
        labels = np.asarray(labels)
        labels = labels.astype(np.int32 if labels.ndim == 1 else np.float32)
        return StoredSplit(Pixels(np.zeros((len(labels), 2, 2, 1), np.uint8)), labels)

    return Contents("x", "x", part(train), None if test is None else part(test), tuple(names))


def test_classes_without_a_labelled_training_image_are_dropped():
    found = with_used_classes(source([42, 3, -1, 7, 3], map(str, range(43)), test=[7, 5, -1, 42]))
    assert found.class_names == ("3", "7", "42")
    np.testing.assert_array_equal(found.train.labels, [2, 0, -1, 1, 0])
    np.testing.assert_array_equal(found.test.labels, [1, -1, -1, 2])
    assert found.train.labels.dtype == found.test.labels.dtype == np.int32
    assert found.notes == (
        "left out 40 of 43 classes, which have no labelled training image; the classes are 3, 7, 42",
        "ignores the labels of test images in the classes left out (1)",
    )


def test_a_note_truncates_a_long_list_of_classes():
    (note,) = with_used_classes(source([*range(1, 31)] * 2, map(str, range(31)))).notes
    assert note.endswith("the classes are 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more")


def test_used_classes_are_unchanged():
    found = with_used_classes(source([1, 0, -1], "ab"))
    assert found.class_names == ("a", "b") and not found.notes
    np.testing.assert_array_equal(found.train.labels, [1, 0, -1])


def test_without_labels_there_are_no_classes():
    found = with_used_classes(source([-1, -1], ["cat", "dog"], test=[0, 1]))
    assert found.class_names == () and "no training image has a label" in found.notes[0]
    np.testing.assert_array_equal(found.test.labels, [-1, -1])
    assert not with_used_classes(source([-1], [])).notes


def test_soft_labels_keep_all_classes():
    found = with_used_classes(source([[0.5, 0.5, 0.0]], "abc"))
    assert found.class_names == ("a", "b", "c") and found.train.labels.shape == (1, 3)


def test_names_are_stripped_and_made_unique():
    found = with_used_classes(source(range(5), ["crane", " cat", "crane ", "crane (0)", "dog"]))
    assert found.class_names[1::3] == ("cat", "dog")
    assert len(set(found.class_names)) == 5 and found.class_names[2] == "crane (2)"
    assert found.notes[0].startswith("several classes are called crane")
    np.testing.assert_array_equal(found.train.labels, range(5))


def test_one_class_per_image_is_noted():
    names = [str(i) for i in range(30)]
    (note,) = with_used_classes(source(range(30), names)).notes
    assert note.startswith("has 30 classes for 30 images")
    assert not with_used_classes(
        source([*range(30), -1], names)
    ).notes  # one label a class may be all there are

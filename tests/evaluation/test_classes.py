"""Mapping labels between two sets of classes."""

import numpy as np
import pytest

from compare_gan.evaluation.classes import labels_sha256, translate_labels

NUMBERS = tuple(map(str, range(12)))


@pytest.mark.parametrize(
    "names, wanted, labels, expected",
    [
        (("cat", "dog"), ("cat", "dog"), [0, 1, -1], [0, 1, -1]),
        (("dog", "cat"), ("ant", "cat", "dog"), [0, 1, -1], [2, 1, -1]),  # by name
        (("cat", "fox"), ("cat", "dog"), [0, 1], [0, -1]),  # a class that the other side lacks
        (("0", "1"), ("cat", "dog"), [1, 0], [1, 0]),  # an array of labels against folders
        (("cat", "dog"), ("0", "1"), [1, 0], [1, 0]),
        (
            ("0", "2"),
            ("cat", "dog", "fox"),
            [0, 1],
            [0, 2],
        ),  # numbers that remain once unused ones are dropped
        (("0", "1", "2"), ("0", "2"), [0, 1, 2], [0, -1, 1]),
        (tuple(sorted(NUMBERS)), NUMBERS, [2, 3], [2, 3]),  # folders 0, 1, 10, 11, 2: labels count folders
    ],
)
def test_classes_match_by_name_or_by_number(names, wanted, labels, expected):
    found, _ = translate_labels(np.array(labels), names, wanted)
    np.testing.assert_array_equal(found, expected)


def test_clusters_are_not_classes():
    assert translate_labels(np.array([0, 1]), ("cluster 0", "cluster 1"), ("cat", "dog")) == (None, 0)
    assert translate_labels(np.array([-1, -1]), (), ("cat", "dog")) == (None, 0)


def test_a_digest_depends_on_labels_and_on_names():
    labels, names = np.array([0, 1], np.int32), ("a", "b")
    found = {
        labels_sha256(labels, names),
        labels_sha256(labels[::-1], names),
        labels_sha256(labels, ("a", "c")),
    }
    assert len(found) == 3
    assert labels_sha256(labels.astype(np.int64), names) == labels_sha256(labels, names)

"""Label files of all formats: labels reach the right images; errors name the row."""

import csv
import hashlib
import struct
import zipfile

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data.base import Split
from compare_gan.data.label_files import digest, read_labels, write_labels

NAMES = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/3.png", "odd, name.png")
CLASSES = ("cat", "dog", "eel")


def split(names=NAMES, count=None):
    count = len(names) if count is None else count
    return Split(np.zeros((count, 2, 2, 1), np.uint8), np.full(count, -1, np.int32), names)


NAMED, NAMELESS = split(), split((), 10)


def write_csv(path, *rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def refused(path, words, to=NAMED, classes=CLASSES):
    with pytest.raises(UserError, match=words) as caught:
        read_labels(path, to, classes)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_hard_labels_round_trip(tmp_path):
    write_labels(tmp_path / "labels.npz", np.array([4, 1]), np.array([7, 2]))
    found, names = read_labels(tmp_path / "labels.npz", NAMELESS)
    assert found.dtype == np.int32 and names == tuple("01234567")
    np.testing.assert_array_equal(found, [-1, 2, -1, -1, 7, -1, -1, -1, -1, -1])


def test_soft_labels_round_trip(tmp_path):
    soft = np.array([[0.25, 0.75], [1, 0]])
    write_labels(tmp_path / "labels.npz", np.array([2, 0]), soft)
    found, names = read_labels(tmp_path / "labels.npz", split((), 4), ("a", "b"))
    assert found.dtype == np.float32 and names == ("a", "b")
    np.testing.assert_array_equal(found, [[1, 0], [0, 0], [0.25, 0.75], [0, 0]])


def test_written_bytes_are_reproducible(tmp_path):
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    write_labels(a, np.array([4, 1], np.int64), np.array([7, 2], np.int64), NAMES)
    write_labels(b, np.array([1, 4], np.int32), np.array([2, 7], np.uint8), list(NAMES))
    assert a.read_bytes() == b.read_bytes()
    assert {item.date_time for item in zipfile.ZipFile(a).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert digest(a) == hashlib.sha256(a.read_bytes()).hexdigest()


def test_names_are_written_where_all_images_have_one(tmp_path):
    path = tmp_path / "labels.npz"
    write_labels(path, np.array([4, 1]), np.array([0, 1]), NAMES)
    assert np.load(path)["file_name"].tolist() == ["cat/2.png", "odd, name.png"]
    np.testing.assert_array_equal(read_labels(path, NAMED, CLASSES)[0], [-1, 1, -1, -1, 0])
    assert (read_labels(path, split((), 5), CLASSES)[0] == [-1, 1, -1, -1, 0]).all()  # nothing to compare
    refused(path, "row 0: names image 1 'cat/2.png', but its name here is 'dog/3.png'", split(NAMES[::-1]))
    refused(path, "is for 5 images, but there are 10", NAMELESS)
    write_labels(path, np.array([4, 1]), np.array([0, 1]), ("", *NAMES[1:]))
    assert set(np.load(path)) == {"index", "label", "num_images"}


def test_tables_of_indices_and_of_names_agree(tmp_path):
    by_index = write_csv(tmp_path / "a.csv", ["index", "label"], [4, 2], [0, 0], [2, -1], [3, ""], [1, 1])
    by_name = write_csv(
        tmp_path / "b.csv",
        ["label", "file_name"],
        ["eel", "odd, name.png"],
        ["cat", "cat/1.png"],
        ["-1", "dog/1.png"],
        ["", "3.png"],  # the only one of this name
        ["dog", "2.png"],
    )
    np.savez(tmp_path / "c.npz", file_name=["cat/1.png", "2.png", "odd, name.png"], label=[0, 1, 2])
    for path in (by_index, by_name, tmp_path / "c.npz"):
        labels, names = read_labels(path, NAMED, CLASSES)
        assert labels.tolist() == [0, 1, -1, -1, 2] and names == CLASSES


def test_a_table_from_pandas_or_a_spreadsheet(tmp_path):
    """Labels with missing values are floats; a byte order mark, CRLF, quotes and blank lines are accepted."""
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfindex, label\r\n0,1.0\r\n\r\n"3",\r\n1, 2.0\r\n')
    assert read_labels(tmp_path / "a.csv", NAMED, CLASSES)[0].tolist() == [1, 2, -1, -1, -1]


def test_probabilities_in_a_table(tmp_path):
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    table = [["index", *CLASSES[::-1]], *([i, *row[::-1]] for i, row in enumerate(rows)), [4, "", "", ""]]
    found, names = read_labels(write_csv(tmp_path / "a.csv", *table), NAMED, CLASSES)
    np.testing.assert_allclose(found[:4], rows, rtol=1e-6)
    assert found.dtype == np.float32 and not found[4].any() and names == CLASSES
    table[0] = ["index", *"012"]
    np.testing.assert_array_equal(
        read_labels(write_csv(tmp_path / "a.csv", *table), NAMED, CLASSES)[0], found[:, ::-1]
    )
    table[0] = ["index", *"xyz"]
    refused(write_csv(tmp_path / "a.csv", *table), "the column 'x' is not a class")
    found, names = read_labels(tmp_path / "a.csv", NAMED)
    np.testing.assert_allclose(found[:4], rows[:, ::-1], rtol=1e-6)
    assert names == ("x", "y", "z")


def test_a_file_may_define_its_own_classes(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["index", "label"], [0, "wing"], [2, "fin"], [3, ""], [4, "wing"])
    labels, names = read_labels(path, NAMED)
    assert labels.tolist() == [1, -1, 0, -1, 1] and names == ("fin", "wing")
    labels, names = read_labels(write_csv(tmp_path / "a.csv", ["index", "label"], [3, 2]), NAMED)
    assert labels.tolist() == [-1, -1, -1, 2, -1] and names == ("0", "1", "2")


def test_classes_whose_names_are_numbers(tmp_path):
    """Folders 0 to 10 are sorted as text, so class "10" has index 2 and class "2" has index 3."""
    classes = tuple(sorted(map(str, range(11))))
    path = write_csv(tmp_path / "a.csv", ["index", "label"], [0, 1], [1, 10])
    refused(path, "line 3: label '10' is both the name of class 2 and a class index", classes=classes)
    soft = write_csv(tmp_path / "b.csv", ["index", *map(str, range(11))], [0, 1, *[0] * 10])
    refused(soft, "its columns may be class indices or names", classes=classes)
    np.savez(tmp_path / "c.npz", index=[1], label=[10])
    assert read_labels(tmp_path / "c.npz", NAMED, classes)[0][1] == 10
    years = ("1999", "2020")  # no doubt here
    path = write_csv(tmp_path / "a.csv", ["index", "label"], [0, 2020], [1, 0])
    assert read_labels(path, NAMED, years)[0].tolist() == [1, 0, -1, -1, -1]


@pytest.mark.parametrize(
    "row, words",
    [
        (["cat/4.png", "cat"], "no image is called 'cat/4.png'; an example of a name is 'cat/1.png'"),
        (["1.png", "cat"], "several images match '1.png'"),
        (["cat/1.png", "dog"], "image cat/1.png is already labelled"),
        (["cat/2.png", "cta"], "label 'cta' is neither a class index nor one of 'cat' to 'eel'"),
        (["cat/2.png", "3"], "label 3 is not one of the classes 0 to 2"),
        (["cat/2.png", "-2"], "label -2 is not"),
        (["cat/2.png", "0.5"], "label '0.5' is neither"),
        (["cat/2.png", "1e999"], "label '1e999' is neither"),
        (["cat/2.png"], "has 1 entries for 2 columns"),
    ],
)
def test_a_bad_row_is_reported_with_its_line(tmp_path, row, words):
    path = write_csv(tmp_path / "a.csv", ["file_name", "label"], ["cat/1.png", "cat"], [], row)
    refused(path, f"a.csv: line 4: {words}")


@pytest.mark.parametrize(
    "row, words",
    [
        ([5, 1, 0, 0], "index 5 is out of range for 5 images"),
        ([-1, 1, 0, 0], "index -1 is out of range"),
        ([0, 1, 0, 0], "image 0 is already labelled"),
        ([1, 0.5, 0.6, 0], "probabilities must be nonnegative and sum to 1; these sum to 1.1"),
        ([1, 1.5, -0.5, 0], "probabilities must be nonnegative"),
        ([1, "nan", 1, 0], "probabilities must be nonnegative .* these sum to nan"),
        ([1, "", 1, 0], "cat is ''; expected a number"),
        (["one", 1, 0, 0], "index is 'one'; expected an integer"),
        (["99999999999999999999", 1, 0, 0], "index is '99999999999999999999'"),
    ],
)
def test_a_bad_row_of_probabilities_is_reported_with_its_line(tmp_path, row, words):
    path = write_csv(tmp_path / "a.csv", ["index", *CLASSES], [0, 0, 0, 1], row)
    refused(path, f"a.csv: line 3: {words}")


@pytest.mark.parametrize(
    "header, words",
    [
        (["text", "label"], "its columns are text, label; expected index or file_name, then label"),
        (["", "label"], "its columns are , label; expected index or file_name, then label"),
        (["index"], "its columns are index"),
        (["index", "label", "label"], "its columns are"),
        (["index", "class", "category"], "class and category are candidates for labels; rename the column"),
        (["index", "cat", "dog"], "has 2 probabilities for 3 classes"),
    ],
)
def test_a_bad_header(tmp_path, header, words):
    refused(write_csv(tmp_path / "a.csv", header), words)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b'index,label\n0,"1', b'index,label\n"0"x,1'])
def test_an_invalid_table(tmp_path, data):
    (tmp_path / "a.csv").write_bytes(data)
    refused(tmp_path / "a.csv", "a.csv: (its columns are none|not a table of comma-separated text)")


def test_unknown_and_ambiguous_names(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["file_name", "label"], ["a.png", 0])
    refused(path, "the images of this data set have no names; use index", NAMELESS)
    refused(path, "line 2: several images match 'a.png'", split(("a.png", "b/c.png", "a.png")))
    assert read_labels(path, split(("x/a.png", "a.png")))[0].tolist() == [
        -1,
        0,
    ]  # an exact match takes precedence
    both = write_csv(
        tmp_path / "a.csv", ["index", "file_name", "label"], [0, "1.png", 0], [1, "dog/1.png", 0]
    )
    refused(
        both,
        "line 3: names image 1 'dog/1.png', but its name here is 'cat/2.png'; was it written for other data",
    )


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"index": [0, 10], "label": [0, 0]}, "row 1: index 10 is out of range for 10 images"),
        ({"index": [0, -1], "label": [0, 0]}, "row 1: index -1 is out of range"),
        ({"index": [3, 4, 3], "label": [0, 0, 1]}, "row 2: image 3 is already labelled"),
        ({"index": [0, 1], "label": [0]}, "index has 2 entries, but label has 1"),
        ({"index": [0], "label": 1}, r"label is int64 \[\]"),
        ({"index": [0.0, 1.0], "label": [0, 1]}, "index is float64"),
        ({"index": [0, 1], "label": [0, -2]}, "row 1: label -2 is not one of the classes 0 to 2"),
        ({"index": [0, 1], "label": [0, 3]}, "row 1: label 3 is not one of the classes 0 to 2"),
        ({"index": [0, 1], "label": [0, 0.5]}, "row 1: label 0.5 is not an integer"),
        ({"index": [0, 1], "label": [0, np.inf]}, "row 1: label inf is not a class index"),
        ({"index": [0, 1], "label": [0, 1j]}, "label is complex"),
        ({"index": [0], "label": [[0.5, 0.7, 0]]}, "row 0: probabilities must be"),
        ({"index": [0], "label": [[np.nan, 1.0, 0]]}, "row 0: probabilities must be"),
        ({"index": [0], "label": [[0.5, 0.5]]}, "has 2 probabilities for 3 classes"),
        ({"index": [0], "labels": [0]}, "contains index, labels; expected index or file_name, and label"),
        ({"label": [0]}, "contains label; expected index or file_name, and label"),
        ({"file_name": [1], "label": [0]}, "file_name is int64"),
        ({"index": np.array([None]), "label": [0]}, "not a NumPy file of plain arrays"),
    ],
)
def test_a_bad_npz_has_a_one_line_error(tmp_path, arrays, words):
    np.savez(tmp_path / "labels.npz", **arrays)
    refused(tmp_path / "labels.npz", words, NAMELESS)


def test_a_missing_file_and_an_unknown_format(tmp_path):
    for name in ("none.npz", "none.csv", "none.tfrecord"):
        refused(tmp_path / name, f"{name}: cannot be read .No such file")
    (tmp_path / "text.npz").write_text("index,label\n")
    refused(tmp_path / "text.npz", "text.npz: cannot be read .*not a NumPy file")


def test_bad_labels_are_not_written(tmp_path):
    for index, labels in (([1, 1], [0, 0]), ([-1, 1], [0, 0]), ([0, 1], [0, -2]), ([0, 1], [[0.5], [1]])):
        with pytest.raises(UserError, match="labels.npz: row"):
            write_labels(tmp_path / "labels.npz", np.array(index), np.array(labels))
    assert not list(tmp_path.iterdir())


def varint(n):
    out = b""
    while n >= 128:
        out, n = out + bytes([n % 128 + 128]), n // 128
    return out + bytes([n])


def message(field, data):
    return bytes([8 * field + 2]) + varint(len(data)) + data


def record(name, label):
    """A tf.train.Example in wire format, in a TFRecord without checksums."""
    if isinstance(label, int):
        value = message(3, message(1, varint(label % 2**64)))
    else:
        value = message(2, message(1, struct.pack(f"<{len(label)}f", *label)))
    features = {"file_name": message(1, message(1, name.encode())), "label": value}
    entries = [message(1, message(1, key.encode()) + message(2, value)) for key, value in features.items()]
    data = message(1, b"".join(entries))
    return struct.pack("<QI", len(data), 0) + data + bytes(4)


def test_labels_of_compare_gan(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    a, b = tmp_path / "labels-train-0-of-2", tmp_path / "labels-train-1-of-2"
    a.write_bytes(record("cat/1.png", 0) + record("2.png", -1))
    b.write_bytes(record("odd, name.png", 2))
    pattern = tmp_path / "labels-{split}-?-of-2"
    assert read_labels(pattern, NAMED, CLASSES)[0].tolist() == [0, -1, -1, -1, 2]
    assert digest(pattern) == hashlib.sha256(a.read_bytes() + b.read_bytes()).hexdigest()
    b.write_bytes(record("dog/3.png", 1) + record("dog/1.png", 7))
    with pytest.raises(UserError, match="labels-train-1-of-2: record 1: label 7 is not one of the classes"):
        read_labels(pattern, NAMED, CLASSES)


def test_soft_labels_of_compare_gan_are_logits(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    logits = np.array([[0.5, -1, 30], [2, 2, 2]], np.float32)
    path = tmp_path / "soft.tfrecord"
    path.write_bytes(record("dog/1.png", list(logits[0])) + record("cat/1.png", list(logits[1])))
    found, _ = read_labels(path, NAMED, CLASSES)
    exp = np.exp(logits.astype(float))
    np.testing.assert_allclose(found[[2, 0]], exp / exp.sum(1, keepdims=True), rtol=1e-6)
    assert not found[[1, 3, 4]].any()


@pytest.mark.parametrize(
    "data, words",
    [
        (b"index,label\n0,1\n", "labels.xlsx: not a label file; label files end in .npz, .csv, .tsv, .txt"),
        (record("cat/1.png", 0)[:-1], "labels.xlsx: not a label file"),
        (record("cat/1.png", 0) + record("cat/2.png", 0)[:-1], "not intact, uncompressed TFRecords"),
        (struct.pack("<QI", 3, 0) + b"abc" + bytes(4), "record 0: not a tf.train.Example"),
        (struct.pack("<QI", 0, 0) + bytes(4), "record 0: expected one file_name, and label"),
        (
            record("cat/1.png", 0) + record("dog/1.png", [1.0]),
            "record 1: its label differs in type or shape from",
        ),
    ],
)
def test_a_bad_tfrecord_file(tmp_path, data, words):
    pytest.importorskip("tensorflow_datasets")
    (tmp_path / "labels.xlsx").write_bytes(data)
    refused(tmp_path / "labels.xlsx", words)


def test_records_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets.proto", None)
    (tmp_path / "a.tfrecord").write_bytes(b"")
    refused(
        tmp_path / "a.tfrecord", r"pip install 'compare_gan\[tfds\]'; alternatively, write them to a .csv"
    )


def test_rows_of_held_out_images_are_skipped(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("file_name,label\n0.png,cat\n1.png,dog\nheld.png,dog\n")
    split = Split(np.zeros((2, 1, 1, 1), np.uint8), np.full(2, -1, np.int32), ["0.png", "1.png"])
    labels, names = read_labels(tmp_path / "a.csv", split, others=["held.png"])
    assert labels.tolist() == [0, 1] and names == ("cat", "dog")
    assert "skipped 1 rows of held-out images" in caplog.text
    with pytest.raises(UserError, match="no image is called 'held.png'"):
        read_labels(tmp_path / "a.csv", split)

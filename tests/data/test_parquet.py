"""Parquet files written with pyarrow."""

import datetime
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, open_dataset, parquet
from compare_gan.data.source import find

LOCAL_COPY = Path(__file__).parents[3] / "shared/data/cifar10/test.parquet"
CIFAR10 = Path(os.environ.get("CIFAR10_TEST_PARQUET", LOCAL_COPY))
LABELS = [0, 1] * 5


def png(value, size=(4, 4)):
    file = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(file, "png")
    return file.getvalue()


PNGS = [png(i) for i in range(10)]


def write(path, columns, names=None):
    table = pa.table(columns)
    if names:
        note = {"info": {"features": {"image": {"_type": "Image"}} | names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(note)})
    pq.write_table(table, path)
    return str(path)


def structs(files):
    return [{"bytes": data, "path": None} for data in files]


def refused(path, words):
    with pytest.raises(UserError, match=words) as caught:
        open_dataset(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["image", "img", "picture"])
@pytest.mark.parametrize("images", [PNGS, structs(PNGS)], ids=["binary", "struct"])
def test_one_file(tmp_path, column, images):
    data = open_dataset(write(tmp_path / "a.parquet", {column: images, "label": LABELS}))
    assert data.name == "a.parquet" and data.class_names == ("0", "1")
    assert (len(data.train), len(data.test)) == (8, 2) and data.spec.image_shape == (4, 4, 3)
    for split in (data.train, data.test):
        np.testing.assert_array_equal(split.images[:, 0, 0, 0] % 2, split.labels)


@pytest.mark.parametrize("test", ["test", "validation"])
def test_a_folder_of_shards(tmp_path, test):
    write(tmp_path / "train-00000-of-00002.parquet", {"image": PNGS[:6], "label": LABELS[:6]})
    write(tmp_path / "train-00001-of-00002.parquet", {"image": PNGS[6:], "label": LABELS[6:]})
    write(tmp_path / f"{test}-00000-of-00001.parquet", {"image": PNGS[:3], "label": [1, 1, 1]})
    data = open_dataset(str(tmp_path))
    np.testing.assert_array_equal(data.train.images[:, 0, 0, 0], np.arange(10))
    assert data.test.labels.tolist() == [1, 1, 1] and data.class_names == ("0", "1")


def test_the_test_split_takes_precedence_over_validation(tmp_path):
    for name, count in (("train", 10), ("validation", 4), ("test", 3)):
        write(tmp_path / f"{name}.parquet", {"image": PNGS[:count], "label": LABELS[:count]})
    assert len(open_dataset(str(tmp_path)).test) == 3


def test_class_names_from_the_hub(tmp_path):
    note = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    path = write(tmp_path / "a.parquet", {"image": PNGS, "label": LABELS}, note)
    assert open_dataset(path).class_names == ("cat", "dog")


def test_the_hub_may_name_the_label_column(tmp_path):
    note = {"animal": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    path = write(tmp_path / "a.parquet", {"image": PNGS, "id": range(10), "animal": LABELS}, note)
    assert open_dataset(path).class_names == ("cat", "dog")


@pytest.mark.parametrize("note", [{"label": ["odd"]}, {"label": {"_type": "ClassLabel"}}, {"label": None}])
def test_malformed_metadata_is_ignored(tmp_path, note):
    path = write(tmp_path / "a.parquet", {"image": PNGS, "label": LABELS}, note)
    assert open_dataset(path).class_names == ("0", "1")


def test_label_takes_precedence_over_other_names(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": PNGS, "fine_label": range(10), "label": LABELS})
    assert open_dataset(path).class_names == ("0", "1")


def test_image_size(tmp_path):
    images = [png(i, (4 + i, 6)) for i in range(10)]
    path = write(tmp_path / "a.parquet", {"image": images, "label": LABELS})
    refused(path, "a.parquet: row 1: 6x5, but .*a.parquet: row 0 is 6x4; set image_size")
    assert open_dataset(path, image_size=4).spec.image_shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": PNGS, "label": [datetime.date(2020, 1, 1)] * 10}, "the column label is date32.*none$"),
        ({"image": PNGS, "label": [-2] + LABELS[1:]}, "label contains -2"),
        ({"image": PNGS, "label": [0.5] + LABELS[1:]}, "label contains 0.5; class indices are integers"),
        ({"image": PNGS, "labels": [[0], [0, 1], *[[1]] * 8]}, "row 1 of labels has 2 labels"),
        ({"image": PNGS, "labels": [[1, 1], *[[0, 1]] * 9]}, "labels is .10, 2. but not one-hot"),
        (
            {"image": PNGS, "fine_label": LABELS, "coarse_label": LABELS, "class": LABELS},
            "fine_label and class; choose one with --label_column",
        ),
        ({"image": PNGS, "label": [{"id": 1, "name": "a"}] * 10}, "label.id and label.name; choose one with"),
        ({"images": [[{"bytes": data}] for data in PNGS]}, "images has several images per row"),
        ({"label": LABELS}, r"no column of images as bytes; its columns: label \(int64\)"),
        ({"image": ["a.png"] * 10}, "; image is string, not bytes; its columns"),
        (
            {"a": PNGS, "b": PNGS, "label": LABELS},
            "has image columns a and b; choose one with --image_column",
        ),
        ({"image": [b"junk"] + PNGS[1:], "label": LABELS}, "row 0: not a readable image"),
        ({"image": structs(PNGS[:9] + [None]), "label": LABELS}, "row 9 has no image bytes"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, "contains no rows"),
    ],
)
def test_a_bad_file_has_a_one_line_error(tmp_path, columns, words):
    refused(write(tmp_path / "a.parquet", columns), words)


@pytest.mark.parametrize(
    ("column", "labels", "names"),
    [
        ("label", ["cat", "dog"] * 5, ("cat", "dog")),
        ("label", [b"cat", b"dog"] * 5, ("cat", "dog")),
        ("label", pa.array(["cat", "dog"] * 5).dictionary_encode(), ("cat", "dog")),
        ("label", [False, True] * 5, ("False", "True")),
        ("label", [0.0, 1.0] * 5, ("0", "1")),
        ("label", pa.array([0, 1] * 5, pa.uint8()), ("0", "1")),
        ("label", pa.array([0, 1] * 5).dictionary_encode(), ("0", "1")),
        ("label", [{"label": 0}, {"label": 1}] * 5, ("0", "1")),
        ("label", [{"class_name": "a"}, {"class_name": "b"}] * 5, ("a", "b")),
        ("labels", [[0], [1]] * 5, ("0", "1")),
        ("labels", [["a"], ["b"]] * 5, ("a", "b")),
        ("label", [[1, 0], [0, 1]] * 5, ("0", "1")),
        ("cls", LABELS, ("0", "1")),
        ("Category", ["10", "9"] * 5, ("9", "10")),
    ],
)
def test_types_of_labels(tmp_path, column, labels, names):
    path = write(tmp_path / "a.parquet", {"image": PNGS, "id": range(10), column: labels})
    found = find(path)
    assert found.class_names == names and found.notes == ()
    assert found.train.labels.tolist() == ([1, 0] * 5 if names[1] == "10" else LABELS)


@pytest.mark.parametrize(
    "labels",
    [
        [-1, 0, 1, -1],
        [None, 0, 1, None],
        [float("nan"), 0, 1, None],
        ["", "0", "1 ", None],
        ["NaN", "0", "1", "None"],
        [[], [0], [1], None],
        [[], ["0"], ["1"], None],
        [[0, 0], [1, 0], [0, 1], [0, 0]],
        [{"label": None}, {"label": 0}, {"label": 1}, None],
    ],
)
def test_partly_labelled(tmp_path, labels):
    found = find(write(tmp_path / "a.parquet", {"image": PNGS[:4], "label": labels}))
    assert found.train.labels.tolist() == [-1, 0, 1, -1] and found.class_names == ("0", "1")


def test_the_user_chooses_columns(tmp_path):
    path = write(
        tmp_path / "a.parquet",
        {
            "input": PNGS,
            "edited": PNGS[::-1],
            "fine": LABELS,
            "fine_label": LABELS[::-1],
            "class": ["x"] * 10,
        },
    )
    found = find(path, LoadOptions(image_column="edited", label_column="fine"))
    assert found.train.labels.tolist() == LABELS and found.train.records[0][0, 0, 0] == 9
    assert find(path, LoadOptions(image_column="input", label_column="class")).class_names == ("x",)
    unlabelled = find(path, LoadOptions(image_column="input", label_column="none"))
    assert unlabelled.class_names == () and set(unlabelled.train.labels) == {-1} and not unlabelled.notes
    for reading, words in (
        (LoadOptions(image_column="inptu"), "has no column 'inptu'; its columns: input .binary., edited"),
        (LoadOptions(image_column="fine"), "the column fine is int64; images must be bytes"),
        (LoadOptions(image_column="input", label_column="nine"), "has no column 'nine'; its columns:"),
        (LoadOptions(image_column="input", label_column="edited.x"), "has no column 'edited.x'"),
    ):
        with pytest.raises(UserError, match=words):
            find(path, reading)


def test_alternative_columns_are_noted(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": PNGS, "mask": PNGS, "label": LABELS, "fine_label": LABELS})
    assert find(path).notes == (
        "its images are in the column image, not mask; --image_column selects another",
        "its labels are in the column label, not fine_label; --label_column selects another",
    )
    path = write(tmp_path / "b.parquet", {"image": PNGS, "width": range(10), "text": ["x"] * 10})
    assert find(path).class_names == ()
    assert find(path).notes == (
        "no label column, so the images are unlabelled; --label_column can select one of width, text",
    )


def test_a_column_of_splits_is_noted(tmp_path):
    path = write(tmp_path / "a.parquet", {"image": PNGS, "label": LABELS, "split": ["train"] * 10})
    assert find(path).notes == ("ignores its column split; a file must contain one split",)


def test_fields_of_structs(tmp_path):
    rows = [{"image": {"bytes": data, "path": f"{i}.png"}, "label": i % 2} for i, data in enumerate(PNGS)]
    note = {
        "sample": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    }
    found = find(write(tmp_path / "a.parquet", {"id": range(10), "sample": rows}, note))
    assert found.train.labels.tolist() == LABELS and found.class_names == ("cat", "dog")
    assert [found.train.records[i][0, 0, 0] for i in range(10)] == list(range(10))
    assert found.train.records.name(3) == "3.png"


def test_webdataset_columns(tmp_path):
    path = write(tmp_path / "a.parquet", {"jpg": structs(PNGS), "cls": LABELS, "__key__": ["k"] * 10})
    assert find(path).train.labels.tolist() == LABELS


@pytest.mark.parametrize(
    "train, test, pool",
    [
        ("training.parquet", "testing.parquet", "unlabelled.parquet"),
        (
            "data/train-00000-of-00001.parquet",
            "data/test-00000-of-00001.parquet",
            "data/unlabeled-00000-of-00001.parquet",
        ),
        ("Train/0.parquet", "Test/0.parquet", "unsup/0.parquet"),
        ("set-train.parquet", "set-val.parquet", "set-unlabeled.parquet"),
    ],
)
def test_spellings_of_splits_and_an_unlabelled_pool(tmp_path, train, test, pool):
    for name, count in ((train, 4), (test, 3), (pool, 10)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, {"image": PNGS[:count], "label": LABELS[:count]})
    found = find(str(tmp_path))
    assert found.train.labels.tolist() == [0, 1, 0, 1] + [-1] * 10 and len(found.test) == 3
    assert found.notes == (
        f"10 images of {pool.split('/')[-1]} are added to the training images without labels",
    )


def test_files_that_are_left_out_are_noted(tmp_path):
    for name in ("train", "test", "validation", "extra"):
        write(tmp_path / f"{name}.parquet", {"image": PNGS, "label": LABELS})
    assert find(str(tmp_path)).notes == ("left out extra.parquet, validation.parquet",)


def test_string_labels_of_all_files_are_the_classes(tmp_path):
    write(tmp_path / "train.parquet", {"image": PNGS[:2], "label": ["dog", "bird"]})
    write(tmp_path / "test.parquet", {"image": PNGS[:2], "label": ["cat", "dog"]})
    found = find(str(tmp_path))
    assert found.class_names == ("bird", "cat", "dog")
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([2, 0], [1, 2])
    write(tmp_path / "test.parquet", {"image": PNGS[:2], "label": [0, 1]})
    refused(tmp_path, "its labels mix strings and numbers")


def test_more_labels_than_names(tmp_path):
    note = {"label": {"names": ["cat"], "_type": "ClassLabel"}}
    path = write(tmp_path / "a.parquet", {"image": PNGS, "label": LABELS}, note)
    refused(path, "contains the label 1, but has only 1 class names")


@pytest.mark.parametrize(
    "train, test",
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/validation/0000.parquet"),
        ("snapshots/0a1b/plain_text/train-0.parquet", "snapshots/0a1b/plain_text/test-0.parquet"),
        ("train/0.parquet", "test/0.parquet"),
        ("train/train-0.parquet", "val.parquet"),
        ("train/train.parquet", "train/test.parquet"),
    ],
)
def test_nested_as_the_hub_has_them(tmp_path, train, test):
    for name, count in ((train, 10), (test, 4)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, {"image": PNGS[:count], "label": LABELS[:count]})
    (tmp_path / "README.md").write_text("")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "train.parquet").write_text("")
    data = open_dataset(str(tmp_path))
    assert (len(data.train), len(data.test)) == (10, 4)


def test_files_without_a_split_are_training_data(tmp_path):
    write(tmp_path / "0000.parquet", {"image": PNGS[:6], "label": LABELS[:6]})
    write(tmp_path / "values.parquet", {"image": PNGS[6:], "label": LABELS[6:]})
    data = open_dataset(str(tmp_path))
    assert (len(data.train), len(data.test)) == (8, 2)


def test_a_folder_of_test_files_only(tmp_path):
    write(tmp_path / "test.parquet", {"image": PNGS, "label": LABELS})
    refused(tmp_path, r"no train\*.parquet; found: test.parquet")


def test_two_data_sets_in_a_folder(tmp_path):
    for name in ("cifar10", "cifar100"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "train.parquet", {"image": PNGS, "label": LABELS})
    refused(tmp_path, "contains several data sets, in cifar10 and cifar100; pass one folder")
    assert len(open_dataset(str(tmp_path / "cifar10")).train) == 8


def test_without_labels(tmp_path):
    data = open_dataset(write(tmp_path / "a.parquet", {"image": PNGS, "caption": ["a"] * 10}))
    assert (len(data.train), len(data.test), data.class_names) == (8, 2, ())
    assert set(data.train.labels) == set(data.test.labels) == {-1}


def test_labels_in_one_split_only(tmp_path):
    write(tmp_path / "train.parquet", {"image": PNGS, "label": LABELS})
    write(tmp_path / "test.parquet", {"image": PNGS})
    found = find(str(tmp_path))
    assert found.train.labels.tolist() == LABELS and set(found.test.labels) == {-1}
    assert found.notes == ("no label column in test.parquet; its images are unlabelled",)


def test_files_with_different_class_names(tmp_path):
    for split, names in (("train", ["cat", "dog"]), ("test", ["dog", "cat"])):
        note = {"label": {"names": names, "_type": "ClassLabel"}}
        write(tmp_path / f"{split}.parquet", {"image": PNGS, "label": LABELS}, note)
    refused(tmp_path, "/test.parquet: has other class names than train.parquet")


def test_names_of_images(tmp_path):
    images = [{"bytes": data, "path": f"{i}.png" if i else None} for i, data in enumerate(PNGS)]
    write(tmp_path / "train.parquet", {"image": images, "label": LABELS})
    write(tmp_path / "test.parquet", {"image": PNGS, "label": LABELS})
    data = open_dataset(str(tmp_path))
    assert list(data.train.names) == ["", *(f"{i}.png" for i in range(1, 10))]
    assert list(data.test.names) == [""] * 10


def test_images_larger_than_memory(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    noise = [rng.bytes(1000) for _ in range(10)]
    path = write(tmp_path / "a.parquet", {"image": noise, "label": LABELS})
    monkeypatch.setattr(parquet, "memory_budget", lambda: 9_000)
    refused(
        path, "its images take at least 0.0 GB, more than the memory budget of 0.0 GB; write them to a folder"
    )


def test_a_repeated_image_larger_than_memory(tmp_path, monkeypatch):
    """The file stores the image once, in a dictionary, so only reading reveals the size."""
    path = write(tmp_path / "a.parquet", {"image": [bytes(1000)] * 1000, "label": [0] * 1000})
    assert os.path.getsize(path) < 9_000
    monkeypatch.setattr(parquet, "memory_budget", lambda: 100_000)
    refused(path, "its images take .* GB, more than the memory budget")


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: b"text", lambda data: data[:-20]])
def test_a_truncated_file(tmp_path, spoil):
    path = tmp_path / "a.parquet"
    write(path, {"image": PNGS, "label": LABELS})
    path.write_bytes(spoil(path.read_bytes()))
    refused(path, "truncated or corrupt parquet file")


def test_a_damaged_page(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, {"image": PNGS, "label": LABELS})
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 60 + data[64:])
    refused(path, "truncated or corrupt parquet file")


@pytest.mark.skipif(not CIFAR10.is_file(), reason="CIFAR10_TEST_PARQUET names no file")
def test_cifar10():
    """Only the 10,000 test images, for speed."""
    data = open_dataset(str(CIFAR10))
    assert data.spec.image_shape == (32, 32, 3) and data.class_names[0] == "airplane"
    assert np.bincount(data.train.labels).tolist() == [800] * 10
    assert np.bincount(data.test.labels).tolist() == [200] * 10
    published = [0.491, 0.482, 0.447]  # the channel means of the training images
    np.testing.assert_allclose(data.train.images.mean((0, 1, 2)) / 255, published, atol=0.01)

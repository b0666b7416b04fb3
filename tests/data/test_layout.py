"""Layouts of folders and archives: splits and labels."""

import io
import json
import zipfile

import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data.source import find


def png(value=0):
    file = io.BytesIO()
    Image.new("L", (2, 2), value).save(file, "png")
    return file.getvalue()


def write(root, spec):
    """Writes folders with the given number of images, and files with the given content."""
    for name, content in spec.items():
        if isinstance(content, int):
            spec = {f"{name}/{i}.png": png(i) for i in range(content)}
        else:
            spec = {name: content}
        for file, data in spec.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def split_up(part, names):
    """The number of images per class, "" = unlabelled."""
    labels = part.labels.tolist()
    return {name: labels.count(i) for i, name in [(-1, ""), *enumerate(names)] if labels.count(i)}


def found(path):
    contents = find(str(path))
    test = None if contents.test is None else split_up(contents.test, contents.class_names)
    return split_up(contents.train, contents.class_names), test, " | ".join(contents.notes)


def refused(path, words):
    with pytest.raises(UserError, match=words) as caught:
        find(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


AB = {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("spec", "train", "test", "note"),
    [
        ({"Train/a": 3, "Train/b": 2, "Test/a": 1}, AB, {"a": 1}, ""),
        ({"training/a": 3, "training/b": 2, "testing/b": 1}, AB, {"b": 1}, ""),
        ({"training_set/a": 3, "training_set/b": 2, "test_set/b": 1}, AB, {"b": 1}, ""),
        (
            {"train/a": 3, "train/b": 2, "dev/b": 4, "test/b": 1},
            AB,
            {"b": 1},
            "left out dev/ (4 images): the test split is test/",
        ),
        (
            {"seg_train/seg_train/a": 3, "seg_train/seg_train/b": 2, "seg_test/seg_test/a": 1, "seg_pred": 7},
            AB,
            {"a": 1},
            "left out seg_pred/ (7 images): outside of the splits",
        ),
        ({"train2017": 3, "val2017": 2, "sample": 1}, {"": 3}, {"": 2}, "left out sample/ (1 image)"),
        ({"train/images": 3, "valid/images": 2}, {"": 3}, {"": 2}, ""),
        (
            {"trainA": 3, "trainB": 2, "testA": 1, "testB": 4},
            {"A": 3, "B": 2},
            {"A": 1, "B": 4},
            "trainA/ is the class A | trainB/ is the class B",
        ),
        (
            {"a/train": 3, "b/train": 2, "a/test": 1, "b/val": 5},
            AB,
            {"a": 1},
            "left out the validation split (5 images)",
        ),
        ({"a": 3, "b": 2, "test/b": 1}, AB, {"b": 1}, ""),
        ({"trainA": 3, "testA": 1}, {"A": 3}, {"A": 1}, "trainA/ is the class A"),
        (
            {"train": 3, "train_masks": 2},
            {"train": 3, "train_masks": 2},
            None,
            "train/ is a class, like train_masks/",
        ),
        ({"a": 3, "b": 2, "test": 1}, {**AB, "test": 1}, None, "test/ is a class, like a/"),
        ({"a": 3, "b": 2, "unlabelled": 7}, {"": 7, **AB}, None, "unlabelled/ adds 7 images without labels"),
        (
            {"train/a": 3, "train/b": 2, "test/a": 1, "Unlabeled_Images/x": 7},
            {"": 7, **AB},
            {"a": 1},
            "Unlabeled_Images/ adds 7 images",
        ),
        ({"train/a": 3, "train/b": 2, "train/unsup": 7}, {"": 7, **AB}, None, "unsup/ adds 7 images"),
        ({"labeled/a": 3, "labeled/b": 2, "unlabeled": 7}, {"": 7, **AB}, None, "unlabeled/ adds 7 images"),
        ({"unlabeled": 7, "test": 1}, {"": 7}, {"": 1}, "unlabeled/ adds 7 images"),
        ({"Cat": 3, "cat": 2}, {"Cat": 3, "cat": 2}, None, "'Cat' and 'cat' differ only in case"),
        ({f"{i:05}": 2 for i in range(3)}, {f"{i:05}": 2 for i in range(3)}, None, ""),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_splits_and_classes_of_folders(tmp_path, spec, train, test, note, packed):
    path = write(tmp_path / "set", spec)
    if packed:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as opened:
            for file in (tmp_path / "set").rglob("*.png"):
                opened.write(file, file.relative_to(tmp_path))
    *parts, notes = found(path)
    assert parts == [train, test] and (note in notes if note else not notes)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"val/a": 3, "test/a": 2}, "test and val are named like splits, but none is a training split"),
        ({"train/a": 3, "train_2/a": 2}, "train and train_2 are named like training splits; merge"),
        (
            {"te/a": 1, "te/b": 1, "tr/a": 3, "tr/b": 3},
            "te and tr have the same subfolders .a, b. and may be",
        ),
        ({"cat": 1, "cat ": 1}, "'cat' and 'cat ' differ only in whitespace"),
    ],
)
def test_ambiguous_layouts_are_refused(tmp_path, spec, words):
    refused(write(tmp_path, spec), words)


def test_files_of_a_pool_are_found(tmp_path):
    write(tmp_path, {"train/a/x.png": png(1), "train/b/y.png": png(2), "unsup/z.png": png(3)})
    records = find(str(tmp_path)).train.records
    assert {records.name(i): records[i][0, 0, 0] for i in range(3)} == {
        "a/x.png": 1,
        "b/y.png": 2,
        "unsup/z.png": 3,
    }


SHARDS = {f"{i:05}/img{i:05}{k:03}.png": png() for i in range(2) for k in range(3)}
FFHQ = {f"{i}000/{i}{k:03}.png": png() for i in ("00", "01") for k in range(3)}


@pytest.mark.parametrize("spec", [SHARDS, FFHQ])
def test_shards_of_numbered_images_are_not_classes(tmp_path, spec):
    train, _, notes = found(write(tmp_path, spec))
    assert train == {"": 6} and "are shards, not classes" in notes


def test_skipped_files_are_counted_by_suffix(tmp_path):
    names = ["a/x.heic", "a/y.HEIC", "a/z.txt", "Thumbs.db", "README", ".hidden", "labels.csv"]
    _, _, notes = found(write(tmp_path, {"a": 2, "b": 1, **dict.fromkeys(names, "x")}))
    assert (
        notes
        == (
            "skipped 6 files: 2 .heic, 1 without a suffix, 1 .db, 1 .csv, 1 .txt; "
            "--labels FILE reads labels from a .csv file"
        )
        or sorted(notes) == sorted(notes)
        and "skipped 6 files: 2 .heic, " in notes
    )
    refused(write(tmp_path / "only", {"x.heic": "x", "y.heic": "x"}), "contains no images; .* it has 2 .heic")


@pytest.mark.parametrize("name", ["data_batch_1.bin", "cifar-10-batches-py/data_batch_1", "test.bin"])
def test_batch_files_of_cifar(tmp_path, name):
    refused(
        write(tmp_path, {name: "x"}), "CIFAR batch files, which are not supported; download the data set as"
    )


def stylegan(labels):
    return {"dataset.json": json.dumps({"labels": labels}), **SHARDS}


CSV = "file_name,text,label\n0.png,hello,cat\n1.png,you,dog\n2.png,there,\n"
JSONL = '{"file_name": "0.png", "label": 2}\n{"file_name": "1.png", "label": 0}\n'


@pytest.mark.parametrize(
    ("spec", "train", "note"),
    [
        (
            stylegan([[name, k % 3] for k, name in enumerate(SHARDS)]),
            {"0": 2, "1": 2, "2": 2},
            "dataset.json",
        ),
        (
            stylegan([[name, [0, 1]] for name in list(SHARDS)[:2]]),
            {"": 4, "1": 2},
            "dataset.json | 4 of 6 images have no label",
        ),
        (stylegan(None), {"": 6}, "dataset.json, which has none"),
        (
            {"a": 1, "b": 1, "dataset.json": '{"title": "pets"}'},
            {"a": 1, "b": 1},
            'dataset.json is not used: it has no "labels"',
        ),
        (
            {"train": 4, "train/metadata.csv": CSV},
            {"": 2, "cat": 1, "dog": 1},
            "train/metadata.csv, column label (text ignored) | 2 of 4 images have no label in these files",
        ),
        ({".": 2, "metadata.jsonl": JSONL}, {"0": 1, "2": 1}, "metadata.jsonl, column label"),
        (
            {
                ".": 4,
                "metadata.csv": "file_name,breed\n" + "".join(f"{i}.png,{'xy'[i % 2]}\n" for i in range(4)),
            },
            {"x": 2, "y": 2},
            "column breed",
        ),
        (
            {"a": 1, "b": 1, "metadata.csv": "file_name,text\na/0.png,one\nb/0.png,two\n"},
            {"a": 1, "b": 1},
            "metadata.csv is not used: it has no column of labels (it has text)",
        ),
        (
            {"x.png": png(), "y.png": png(), "x.cls": "1", "y.cls": "0\n", "y.txt": "words"},
            {"0": 1, "1": 1},
            "skipped 1 file: 1 .txt | labels are read from 2 files next to the images",
        ),
        ({"x.png": png(), "x.cls": "007", "y.png": png(), "y.cls": "cat"}, {"007": 1, "cat": 1}, ".cls"),
        ({".": 2, "0.json": '{"label": "cat"}', "1.json": '{"label": null}'}, {"cat": 1, "": 1}, ".json"),
        ({".": 2, "0.json": '{"width": 3}'}, {"": 2}, "skipped 1 file: 1 .json"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_labels_in_side_files(tmp_path, spec, train, note, packed):
    path = write(tmp_path / "set", spec)
    if packed:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as opened:
            for file in (tmp_path / "set").rglob("*.*"):
                opened.write(file, file.relative_to(tmp_path / "set"))
    labels, test, notes = found(path)
    assert labels == train and test is None and note in notes


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (stylegan([["00000/img9.png", 0]]), "dataset.json: entry 0: no image 00000/img9.png"),
        (stylegan([[next(iter(SHARDS)), [0.5, 0.5]]]), "entry 0: a label of 2 numbers that is not one-hot"),
        (stylegan([[next(iter(SHARDS)), 0]] * 2), "entry 1: .* occurs twice"),
        ({".": 1, "dataset.json": '{"labels": [1]}'}, "dataset.json: not a StyleGAN label file"),
        ({".": 1, "metadata.csv": "file_name,label\n0.png,a\n1.png,b\n"}, "line 3: no image 1.png"),
        ({".": 1, "metadata.csv": b"\xff\x00"}, "metadata.csv: damaged"),
        ({".": 1, "metadata.jsonl": "{"}, "metadata.jsonl: damaged"),
        ({".": 1, "0.cls": b"\xff"}, "0.cls: damaged"),
        ({".": 1, "0.cls": "-7"}, "0.cls: label: the label -7; class indices are 0 to"),
    ],
)
def test_invalid_side_files(tmp_path, spec, words):
    refused(write(tmp_path, spec), words)


def test_side_files_of_both_splits_share_classes(tmp_path):
    rows = {"train": "0.png,dog\n1.png,cat\n", "test": "0.png,dog\n"}
    spec = {f"{split}/metadata.csv": "file_name,label\n" + text for split, text in rows.items()}
    train, test, _ = found(write(tmp_path, {"train": 2, "test": 1, **spec}))
    assert (train, test) == ({"dog": 1, "cat": 1}, {"dog": 1})


def test_archive_shards(tmp_path):
    for i, name in enumerate(("train-000000.zip", "train-000001.zip", "test-000000.zip")):
        with zipfile.ZipFile(tmp_path / name, "w") as opened:
            for k in range(2):
                opened.writestr(f"{k}.png", png(10 * i + k))
                opened.writestr(f"{k}.cls", str(k))
    contents = find(str(tmp_path))
    pixels = [contents.train.records[i][0, 0, 0] for i in range(4)]
    assert dict(zip(pixels, contents.train.labels, strict=True)) == {0: 0, 1: 1, 10: 0, 11: 1}
    assert [contents.test.records[i][0, 0, 0] for i in range(2)] == [20, 21]
    assert len({contents.train.records.name(i) for i in range(4)}) == 4
    assert contents.train.records.where(3) == f"{tmp_path}/train-000001.zip/1.png"


def test_archives_of_splits_with_classes(tmp_path):
    for name in ("train.zip", "test.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as opened:
            for label in "ab":
                opened.writestr(f"data/{label}/0.png", png())
    assert found(tmp_path)[:2] == ({"a": 1, "b": 1}, {"a": 1, "b": 1})

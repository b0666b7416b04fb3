"""`compare-gan dataset`: its report on small data sets."""

import json
import os
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.label_files import label_contents
from compare_gan.data.loading import apply_options
from compare_gan.data.source import find
from compare_gan.data.survey import contact_sheet, survey
from compare_gan.main import main

COLOURS = {"cat": (250, 0, 0), "dog": (0, 250, 0), "eel": (0, 0, 250)}


def fill(folder, colour, count, size=(6, 4), mode="RGB"):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new(mode, size, colour).save(folder / f"{i:02}.png")


@pytest.fixture
def pets(tmp_path):
    for name, colour in COLOURS.items():
        fill(tmp_path / "pets" / "train" / name, colour, {"cat": 12, "dog": 3, "eel": 5}[name])
        fill(tmp_path / "pets" / "test" / name, colour, 2)
    return tmp_path / "pets"


def report(capsys, *words, code=0):
    """The printed rows by their first word, and the captured output."""
    assert main(["dataset", *map(str, words)]) == code
    captured = capsys.readouterr()
    pieces = [line.split() for line in captured.out.splitlines() if line]
    return {words[0]: words[1:] for words in pieces}, captured


def test_a_plain_data_set(pets, capsys):
    rows, captured = report(capsys, pets)
    assert captured.out.startswith(f"{pets}\n") and not captured.err
    assert rows["images"] == rows["colour"] == ["20", "6"] and "broken" not in rows and "grey" not in rows
    assert (rows["cat"], rows["dog"], rows["eel"]) == (["12", "2"], ["3", "2"], ["5", "2"])
    assert "3 classes of 3 to 12 training images, median 5" in captured.out
    assert rows["stored"] == ["as", "4x6", "4x6"] and rows["as"][-2:] == ["4x6x3", "4x6x3"]
    assert rows["read"] == ["into", "memory", "into", "memory"]


def test_the_report_matches_the_opened_data(pets):
    for reading in (LoadOptions(), LoadOptions(3), LoadOptions(memory=0), LoadOptions(memory=1000)):
        found, data = (
            survey(apply_options(find(str(pets)), reading), reading, held_out=True),
            open_dataset(str(pets), reading=reading),
        )
        assert found.image_shape == data.spec.image_shape and found.train.fit == data.fit
        for counted, split in ((found.train, data.train), (found.test, data.test)):
            assert counted.streams is not isinstance(split.images, np.ndarray)
            assert list(counted.class_counts) == np.bincount(split.labels).tolist()


def test_sizes_that_differ(tmp_path, capsys):
    for i, size in enumerate([(10, 20), (30, 20), (50, 80), (50, 80), (7, 9)]):
        fill(tmp_path / "x" / f"{i}", i, 1, size, "L")
    rows, captured = report(capsys, tmp_path, code=2)
    assert rows["grey"] == ["5", "5"] and "colour" not in rows
    assert re.search(r"train, height +9 +20 +80\n", captured.out)
    assert re.search(r"train, width +7 +30 +50\n", captured.out)
    assert "train: 4 sizes" in captured.out
    assert "error:   images differ in size; set --image_size" in captured.out
    assert captured.err.strip() == f"compare-gan: {tmp_path}: cannot be used as it is; see the errors above"
    _, captured = report(capsys, tmp_path, "--image-size", 8)
    assert "8x8x1" in captured.out and "train images: crop middle, lanczos to 8" in captured.out


def test_every_broken_file_is_named_and_counted(pets, tmp_path, capsys):
    for i in range(14):
        (pets / "train" / "cat" / f"x{i:02}.png").write_bytes(b"junk")
    (pets / "test" / "dog" / "x.png").write_bytes((pets / "test" / "dog" / "00.png").read_bytes()[:44])
    rows, captured = report(capsys, pets, "--json", tmp_path / "new" / "x.json", code=2)
    assert rows["broken"] == ["14", "1"] and captured.out.count("x0") == 10
    assert f"broken:  {pets}/train/cat/x09.png: not a readable image; repair or delete it\n" in captured.out
    assert "and 5 more images; --json lists all" in captured.out
    assert "error:   15 images cannot be read" in captured.out and captured.err.count("\n") == 1
    written = json.loads((tmp_path / "new" / "x.json").read_text())
    assert len(written["train"]["broken"]) == 14 and len(written["test"]["broken"]) == 1
    assert written["train"]["class_counts"] == [26, 3, 5] and written["problems"]
    rows, captured = report(capsys, pets, "--broken", "skip")
    assert rows["broken"] == ["14", "1"] and "error" not in captured.out and not captured.err


def test_notes_are_printed(tmp_path, capsys):
    """Skipped files, an unlabelled pool, and 12-bit values in 16-bit files."""
    for name in ("train/cat", "train/dog", "unlabeled"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((4, 4), 4095 - i, np.uint16)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "train" / "cat" / "x.heic").write_bytes(b"")
    rows, captured = report(capsys, tmp_path, "--json", tmp_path / "x.json")
    assert "note:    skipped 1 file: 1 .heic\n" in captured.out
    assert "note:    unlabeled/ adds 3 images without labels to the training images\n" in captured.out
    assert "note:    no value exceeds 16 of 255, so the images are nearly black" in captured.out
    assert rows["values,"] == ["of", "255", "16", "to", "16", "16", "to", "16"] and rows["cat"][0] == "2"
    assert len(json.loads((tmp_path / "x.json").read_text())["notes"]) == 4  # and that images are held out


def test_a_label_file_is_applied_once(pets, tmp_path, capsys, monkeypatch):
    (tmp_path / "few.csv").write_text("file_name,label\ntrain/cat/00.png,cat\ntrain/dog/00.png,dog\n")
    read = []

    def counted(path, contents):
        read.append(path)
        return label_contents(path, contents)

    monkeypatch.setattr("compare_gan.data.holdout.label_contents", counted)
    words = (pets, "--labels", tmp_path / "few.csv", "--out", tmp_path / "x.png")
    rows, _ = report(capsys, *words)
    assert read == [tmp_path / "few.csv"] and rows["unlabelled"][0] == "18"


def test_unlabelled_images(tmp_path, capsys):
    fill(tmp_path, 9, 10, mode="L")
    rows, captured = report(capsys, tmp_path)
    assert rows["unlabelled"] == ["8", "2"] and rows["100.0%"] == ["100.0%"] and "no classes" in captured.out
    assert "test, held out" in captured.out


def test_many_classes_are_abbreviated(tmp_path, capsys):
    labels = np.repeat(np.arange(300), np.arange(300) % 7 + 5)
    images = np.zeros((len(labels), 2, 2), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=labels, test_images=images, test_labels=labels)
    rows, captured = report(capsys, tmp_path / "x.npz")
    assert captured.out.count("\n") < 30 and "... 294 more ..." in captured.out
    assert rows["6"] == ["11", "11"] and "300 classes of 5 to 11 training images, median 8" in captured.out


def test_names_that_are_not_text(tmp_path, capsys):
    for name in (os.fsdecode(b"b\xffd"), "two\nlines", "a" * 90):
        fill(tmp_path / name, 1, 5)
    rows, captured = report(capsys, tmp_path, "--json", tmp_path / "x.json")
    assert rows[r"b\udcffd"] == rows["a" * 21 + "..."] == ["4", "1"] and "two\\nlines" in captured.out
    captured.out.encode()
    assert json.loads((tmp_path / "x.json").read_text())["class_names"][2] == "two\nlines"


def test_a_registered_name_and_an_archive(pets, tmp_path, capsys):
    assert report(capsys, "digits")[0]["images"] == ["1,347", "450"]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        for file in pets.rglob("*.png"):
            opened.write(file, file.relative_to(tmp_path))
    assert report(capsys, tmp_path / "x.zip")[0]["images"] == ["20", "6"]


def tiles(path, rows, columns):
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    h, w = pixels.shape[0] // rows, pixels.shape[1] // columns
    assert pixels.shape == (rows * h, columns * w, 3)
    return pixels.reshape(rows, h, columns, w, 3).swapaxes(1, 2)


def test_a_contact_sheet_has_a_row_for_each_class(pets, tmp_path, capsys):
    (pets / "train" / "eel" / "00.png").write_bytes(b"junk")
    report(capsys, pets, "--out", tmp_path / "new" / "x.png", "--broken", "skip")
    found = tiles(tmp_path / "new" / "x.png", 3, 10)
    middle = found[:, :, found.shape[2] // 2, found.shape[3] // 2]
    white = (255, 255, 255)
    assert [tuple(map(int, colour)) for colour in middle[0]] == [COLOURS["cat"]] * 10
    assert [tuple(map(int, colour)) for colour in middle[1]] == [COLOURS["dog"]] * 3 + [white] * 7
    assert [tuple(map(int, colour)) for colour in middle[2]] == [COLOURS["eel"]] * 4 + [white] * 6
    assert (found[:, :, [0, -1]] == 255).all() and (found[:, :, :, [0, -1]] == 255).all()


def test_a_contact_sheet_of_many_classes_is_a_mixture(tmp_path):
    for i in range(40):
        fill(tmp_path / f"{i:02}", i * 6, 5, mode="L")
    sheet, rows, columns = contact_sheet(apply_options(find(str(tmp_path)), LoadOptions(4)), LoadOptions(4))
    assert (rows, columns) == (10, 10) and sheet.shape == (100, 66, 66, 3)
    values = sheet[:, 33, 33, 0]
    assert (np.diff(values.astype(int)) >= 0).all() and len(set(values)) == 40


def test_a_contact_sheet_shows_pixels_as_they_are():
    """Each pixel of a digit is a square of 8 by 8; evenly chosen ones of its class, in their order."""
    sheet, rows, columns = contact_sheet(apply_options(find("digits"), LoadOptions()), LoadOptions())
    digits = open_dataset("digits").train
    assert (rows, columns) == (10, 10)
    for label in range(10):
        chosen = sheet[10 * label : 10 * label + 10, 1:-1:8, 1:-1:8, 0]
        members = digits.images[digits.labels == label][..., 0]
        np.testing.assert_array_equal(chosen, [members[k * len(members) // 10] for k in range(10)])


def test_unwritable_outputs_are_reported_early(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for option in ("--out", "--json"):
        assert main(["dataset", "digits", option, str(tmp_path / "file" / "x")]) == 2
        captured = capsys.readouterr()
        assert (
            "it or a parent is a file" in captured.err and captured.err.count("\n") == 1 and not captured.out
        )

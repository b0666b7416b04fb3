"""A label file applied to a source before a test split is held out."""

import json

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.data.classes import with_used_classes
from compare_gan.data.label_files import label_contents, write_labels
from compare_gan.data.records import Contents, StoredSplit


class Named:
    """Records with a name and a path, but no pixels."""

    def __init__(self, root, names):
        self.root, self.names = root, names

    def __len__(self):
        return len(self.names)

    def name(self, i):
        return self.names[i]

    def where(self, i):
        return f"{self.root}{self.names[i]}" if self.names[i] else f"{self.root}: image {i}"


def part(root, names, labels=None):
    labels = np.full(len(names), -1) if labels is None else labels
    return StoredSplit(Named(root, names), np.asarray(labels, np.int32))


def flat(count=6, folder="photos/"):
    return Contents("photos", "photos", part(folder, [f"{i}.png" for i in range(count)]), None, ())


def split():
    names = ["cat/1.png", "cat/2.png", "dog/1.png"]
    train = part("photos/train/", names, [0, 0, 1])
    return Contents("photos", "photos", train, part("photos/test/", names[1:], [0, 1]), ("cat", "dog"))


def labels_file(path, text):
    path.write_text(text)
    return path


def labelled(contents, path):
    found = with_used_classes(label_contents(path, contents))
    return {
        found.train.records.name(i): found.class_names[k] for i, k in enumerate(found.train.labels) if k >= 0
    }


TWO = {"1.png": "cat", "3.png": "dog"}


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.csv", "file_name,label\n1.png,cat\n3.png,dog\n"),
        ("blanks.csv", "file_name, label\n1.png , cat \n3.png,dog \n"),
        ("index.csv", ",file_name,label\n0,1.png,cat\n1,3.png,dog\n"),
        ("index_only.csv", ",label\n1.png,cat\n3.png,dog\n"),
        ("unnamed.csv", "Unnamed: 0,filename,class\n0,1.png,cat\n1,3.png,dog\n"),
        ("extra.csv", "file_name,label,text\n1.png,cat,a photo\n3.png,dog,a photo\n"),
        ("kaggle.csv", "id,breed\n1,cat\n3,dog\n"),
        ("excel.csv", "Image;Category\n1.png;cat\n3.png;dog\n"),
        ("path.csv", "image_path,target\n/home/me/photos/1.png,cat\n./3.png,dog\n"),
        ("windows.csv", "path,label\nC:\\photos\\1.png,cat\nphotos\\3.png,dog\n"),
        ("missing.csv", "file_name,label\n0.png,NaN\n1.png,cat\n2.png,\n3.png,dog\n4.png,None\n5.png,-1\n"),
        ("a.tsv", "filename\tlabel\n1.png\tcat\n3.png\tdog\n"),
        ("list.txt", "1.png cat\n3.png dog\n"),
        ("list.csv", "1.png,cat\n3.png,dog\n"),
        ("table.txt", "file_name,label\n1.png,cat\n3.png,dog\n"),
        ("a.json", json.dumps(TWO)),
        ("null.json", json.dumps(TWO | {"0.png": None})),
        ("stylegan.json", json.dumps({"labels": list(TWO.items())})),
        ("list.json", json.dumps([{"file_name": k, "label": v, "box": [1]} for k, v in TWO.items()])),
        ("a.jsonl", "".join(json.dumps({"file_name": k, "label": v}) + "\n" for k, v in TWO.items())),
    ],
)
def test_one_choice_of_labels_in_many_spellings(tmp_path, name, text):
    assert labelled(flat(), labels_file(tmp_path / name, text)) == TWO


def test_utf_16_of_a_spreadsheet_and_accents_of_either_kind(tmp_path):
    source = Contents("x", "x", part("x/", ["Kätzchen.png", "b.png"]), None, ())
    (tmp_path / "a.csv").write_bytes("file_name\tlabel\nKa\u0308tzchen.png\t1\n".encode("utf-16"))
    assert labelled(source, tmp_path / "a.csv") == {"Kätzchen.png": "1"}


def test_rows_may_refer_to_all_images_before_the_split(tmp_path):
    rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(6))
    found = label_contents(labels_file(tmp_path / "a.csv", f"file_name,label\n{rows}"), flat())
    assert found.train.labels.tolist() == [0, 1, 0, 1, 0, 1] and found.test is None
    assert found.notes == ("a.csv labels 6 of 6 training images",)


def test_labels_from_one_are_renumbered(tmp_path):
    path = labels_file(tmp_path / "a.csv", "index,label\n0,1\n1,2\n5,3.0\n")
    found = with_used_classes(label_contents(path, flat()))
    assert found.class_names == ("1", "2", "3") and found.train.labels.tolist() == [0, 1, -1, -1, -1, 2]


def test_rows_may_name_test_images(tmp_path):
    path = labels_file(tmp_path / "a.csv", "file_name,label\ncat/1.png,dog\ntest/cat/2.png,dog\n")
    found = label_contents(path, split())
    assert found.train.labels.tolist() == [1, -1, -1]
    assert found.test.labels.tolist() == [1, 1]  # the second keeps its label
    path = labels_file(
        tmp_path / "a.csv",
        "file_name,label\n/elsewhere/train/cat/2.png,cat\n/elsewhere/test/dog/1.png,cat\n",
    )
    found = label_contents(path, split())
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([-1, 0, -1], [0, 0])


def test_a_name_in_both_splits_refers_to_the_training_image(tmp_path):
    path = labels_file(tmp_path / "a.csv", "file_name,label\ncat/2.png,dog\n")
    found = label_contents(path, split())
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([-1, 1, -1], [0, 1])


def test_classes_of_a_file_replace_a_single_folder(tmp_path):
    source = Contents("x", "x", part("x/", ["img/0.png", "img/1.png"], [0, 0]), None, ("img",))
    found = label_contents(labels_file(tmp_path / "a.csv", "file_name,label\n0.png,cat\n1.png,dog\n"), source)
    assert found.class_names == ("cat", "dog") and found.train.labels.tolist() == [0, 1]
    assert "the classes are those of a.csv, not img" in found.notes
    found = label_contents(labels_file(tmp_path / "a.csv", "file_name,label\n0.png,img\n"), source)
    assert found.class_names == ("img",) and found.train.labels.tolist() == [0, -1]


def test_classes_of_a_file_replace_those_of_test_data(tmp_path):
    tests = part("more/", ["x.png", "y.png", "z.png"], [0, 1, -1])
    source = Contents("photos", "photos", flat().train, tests, ("a", "d"))
    found = label_contents(labels_file(tmp_path / "a.csv", "file_name,label\n1.png,c\n2.png,a\n"), source)
    assert found.class_names == ("a", "c") and found.test.labels.tolist() == [0, -1, -1]
    assert "the classes are those of a.csv, not a, d" in found.notes


def test_labels_of_test_images_only_are_refused(tmp_path):
    path = labels_file(tmp_path / "a.csv", "file_name,label\ntest/cat/2.png,dog\n")
    with pytest.raises(UserError, match="a.csv: labels 1 test images but no training image"):
        label_contents(path, split())


def test_soft_labels(tmp_path):
    path = labels_file(tmp_path / "a.csv", "file_name,cat,dog\n1.png,0.25,0.75\n3.png,1,0\n")
    found = label_contents(path, flat(4))
    assert found.class_names == ("cat", "dog")
    np.testing.assert_array_equal(found.train.labels, [[0, 0], [0.25, 0.75], [0, 0], [1, 0]])


def test_one_hot_labels_are_hard(tmp_path):
    path = labels_file(tmp_path / "a.csv", "file_name,cat,dog\n1.png,0,1\n3.png,1,0\n2.png,,\n")
    found = label_contents(path, flat(4))
    assert found.class_names == ("cat", "dog") and found.train.labels.tolist() == [-1, 1, -1, 0]


def test_a_nonstandard_choice_of_columns_is_noted(tmp_path):
    for header, notes in (
        ("file_name,label", ()),
        ("name,class", ()),
        ("name,caption", ("a.csv: labels are in the column caption",)),
    ):
        path = labels_file(tmp_path / "a.csv", f"{header}\n1.png,a\n")
        assert label_contents(path, flat()).notes[1:] == notes
    path = labels_file(tmp_path / "a.csv", "name,text,label,box\n1.png,a,b,c\n")
    assert label_contents(path, flat()).notes[1:] == (
        "a.csv: labels are in the column label; text, box are ignored",
    )


def test_class_names_take_precedence_over_missing_markers(tmp_path):
    source = Contents("x", "x", part("x/", ["0.png", "1.png"], [0, 1]), None, ("NA", "cat"))
    found = label_contents(labels_file(tmp_path / "a.csv", "file_name,label\n0.png,NA\n1.png,\n"), source)
    assert found.train.labels.tolist() == [0, -1]


def test_written_files_are_matched_by_name_not_by_index(tmp_path):
    kept = np.array([0, 2])  # of the images 0, 1, 3, 4, 5, as if 2 had been held out
    write_labels(tmp_path / "a.npz", kept, np.array([0, 1]), [f"{i}.png" for i in (0, 1, 3, 4, 5)])
    found = label_contents(tmp_path / "a.npz", flat())
    assert found.train.labels.tolist() == [0, -1, -1, 1, -1, -1]
    nameless = Contents("x", "x", part("x", [""] * 6), None, ())
    write_labels(tmp_path / "b.npz", kept, np.array([0, 1]), [""] * 5)
    with pytest.raises(UserError, match="b.npz: is for 5 images, but there are 6"):
        label_contents(tmp_path / "b.npz", nameless)
    write_labels(tmp_path / "b.npz", kept, np.array([0, 1]), [""] * 6)
    assert label_contents(tmp_path / "b.npz", nameless).train.labels.tolist() == [0, -1, 1, -1, -1, -1]


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.csv", "file_name,label\n9.png,cat\n", "line 2: no image is called '9.png'"),
        ("a.csv", "file_name,label\n0.png,\n", "labels no training image"),
        ("a.csv", "file_name,label\n", "labels no training image"),
        ("a.csv", "a,b,c\n1.png,cat,3\n", "its columns are a, b, c; expected index or file_name"),
        ("a.csv", "1.png,cat,3\n", "its first line has no column names; add a line such as file_name,label"),
        ("a.csv", "file_name,species,place\n1.png,finch,sea\n", "no column is called label, and species"),
        (
            "a.csv",
            "file_name,label\n1.png,0.25\n2.png,0.5\n",
            "line 2: label '0.25' is neither an integer",
        ),
        ("a.json", '{"labels": null}', "its labels are null"),
        ("a.json", '{"images": [], "annotations": []}', "not a label file; expected"),
        (
            "a.json",
            '[{"file_name": "1.png", "label": [0, 1]}]',
            r"entry 0: label is \[0, 1\]; expected a string or a number",
        ),
        ("a.json", "[1, 2]", "entry 0: not an object"),
        ("a.json", "{", "not a table of comma-separated text or JSON"),
        ("a.jsonl", '{"file_name": "1.png", "label": 0}\n3\n', "line 2: not an object"),
        ("a.parquet", "file_name,label\n", "not a label file; label files end in .npz, .csv"),
    ],
)
def test_a_bad_file_has_a_one_line_error(tmp_path, name, text, words):
    path = labels_file(tmp_path / name, text)
    with pytest.raises(UserError, match=words) as caught:
        label_contents(path, flat())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_two_classes_share_is_refused_with_its_row(tmp_path):
    source = Contents("x", "x", part("x/", ["0.png", "1.png"], [0, 1]), None, ("crane", "crane"))
    path = labels_file(tmp_path / "a.csv", "file_name,label\n0.png,crane\n")
    with pytest.raises(UserError, match="line 2: several classes are called 'crane'; .*'crane .0.'"):
        label_contents(path, source)
    path = labels_file(tmp_path / "a.csv", "file_name,label\n0.png,crane (1)\n1.png,0\n")
    assert label_contents(path, source).train.labels.tolist() == [1, 0]

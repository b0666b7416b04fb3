"""Names and paths of data sets."""

import numpy as np
import pytest
from PIL import Image

from compare_gan.core.errors import UserError
from compare_gan.data import LoadOptions, open_dataset
from compare_gan.data.source import find


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("digts", "^'digts' is neither a known data set nor an existing path; did you mean 'digits'"),
        ("no/such/place", "^'no/such/place': no such file or folder$"),
        ("", "^'' is neither .*; known: blobs, .*digits"),
    ],
)
def test_an_unknown_source(source, words):
    with pytest.raises(UserError, match=words) as caught:
        open_dataset(source)
    assert "\n" not in str(caught.value)


def test_an_unsupported_file(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(
        UserError, match="a.csv: a data set is a folder or one of .npz, .npy, .parquet, .zip, .tar, "
    ):
        open_dataset(str(tmp_path / "a.csv"))


def test_an_invalid_image_size():
    with pytest.raises(UserError, match="image_size 0 is not positive"):
        open_dataset("digits", image_size=0)


@pytest.mark.parametrize("name", ["digits", "folder", "x.npz"])
def test_columns_of_other_formats_are_noted(name, tmp_path):
    (tmp_path / "folder").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "folder" / "a.png")
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 4, 4), np.uint8))
    source = name if name == "digits" else str(tmp_path / name)
    note = "contains no parquet files, so --image_column and --label_column have no effect"
    for reading in (LoadOptions(label_column="none"), LoadOptions(image_column="x")):
        assert note in find(source, reading).notes
    assert note not in find(source, LoadOptions()).notes

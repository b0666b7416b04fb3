"""What may be named as a data set."""

import pytest

from compare_gan.core.errors import UserError
from compare_gan.data import open_dataset


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("digts", "^'digts' is neither a known data set nor a path that exists; did you mean 'digits'"),
        ("no/such/place", "^'no/such/place': no such file or folder$"),
        ("", "^'' is neither .*; known: blobs, .*digits"),
    ],
)
def test_an_unknown_source(source, words):
    with pytest.raises(UserError, match=words) as caught:
        open_dataset(source)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(
        UserError, match="a.csv: a data set is a folder or one of .npz, .npy, .parquet, .zip, .tar, "
    ):
        open_dataset(str(tmp_path / "a.csv"))


def test_an_image_size_that_is_none():
    with pytest.raises(UserError, match="image_size 0 is not positive"):
        open_dataset("digits", image_size=0)

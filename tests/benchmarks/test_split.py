"""The extractor's images and the GANs' images are disjoint and together are all."""

import numpy as np
import pytest

from benchmarks.split import EXTRACTOR, GANS, write
from compare_gan.core.errors import UserError
from compare_gan.data import open_dataset


def test_no_image_is_in_both_files(tmp_path):
    whole = open_dataset("digits")
    write(whole, 0.25, tmp_path)
    parts = [open_dataset(str(tmp_path / name)) for name in (EXTRACTOR, GANS)]
    for part, share in zip(parts, (0.25, 0.75), strict=True):
        np.testing.assert_array_equal(part.test.images[:], whole.test.images[:])
        assert part.class_names == whole.class_names
        expected = share * np.bincount(whole.train.labels)
        np.testing.assert_allclose(np.bincount(part.train.labels), expected, atol=1)
    rows = [sorted(map(bytes, p.train.images[:].reshape(len(p.train), -1))) for p in (*parts, whole)]
    assert sorted(rows[0] + rows[1]) == rows[2]
    first = (tmp_path / GANS).read_bytes()
    (tmp_path / "again").mkdir()
    write(whole, 0.25, tmp_path / "again")
    assert (tmp_path / "again" / GANS).read_bytes() == first


@pytest.mark.parametrize("share", [0, 1])
def test_neither_file_may_be_empty(share, tmp_path):
    with pytest.raises(UserError, match="must be between 0 and 1"):
        write(open_dataset("digits"), share, tmp_path)

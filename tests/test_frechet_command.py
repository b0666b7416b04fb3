"""`compare-gan frechet A B`: one number for two folders, arrays, data sets or files of features."""

import json

import numpy as np
import pytest
from PIL import Image

from compare_gan.data import open_dataset
from compare_gan.features import open_extractor
from compare_gan.main import main
from compare_gan.metrics.frechet import frechet_distance, moments

DIGITS = open_dataset("digits")


def write_images(folder, images, mode="L"):
    folder.mkdir()
    for i, pixels in enumerate(images):
        Image.fromarray(pixels[..., 0]).convert(mode).save(folder / f"{i:03d}.png")
    return folder


def printed(capsys, *words):
    """The distance on standard output, which contains nothing else."""
    assert main(["frechet", *map(str, words)]) == 0
    return float(capsys.readouterr().out)


def refused(capsys, *words):
    assert main(["frechet", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    return captured.err


def by_hand(*sets):
    """With NumPy's moments of the extractor's features."""
    features = [open_extractor("digits")(images).features for images in sets]
    return frechet_distance(*(moment for x in features for moment in (x.mean(0), np.cov(x, rowvar=False))))


def test_folders_arrays_and_data_sets(tmp_path, capsys):
    a, b = DIGITS.train.images[:90], DIGITS.test.images[:80]
    folders = write_images(tmp_path / "a", a), write_images(tmp_path / "b", b)
    expected = by_hand(a, b)
    options = ["--extractor", "digits"]
    out = tmp_path / "out.json"
    assert printed(capsys, *folders, *options, "--json", out) == pytest.approx(expected, rel=1e-5)
    row = json.loads(out.read_text())
    assert row["frechet_distance"] == pytest.approx(expected, rel=1e-5)
    assert (row["generated_images"], row["real_images"], row["extractor"]) == (90, 80, "digits")
    assert printed(capsys, *folders[::-1], *options) == pytest.approx(expected, rel=1e-5)
    np.savez(tmp_path / "b.npz", images=b)
    assert printed(capsys, folders[0], tmp_path / "b.npz", *options) == pytest.approx(expected, rel=1e-5)
    whole = by_hand(DIGITS.train.images, DIGITS.test.images)
    assert printed(capsys, "digits", "digits") == pytest.approx(whole, rel=1e-5)
    assert printed(capsys, "digits", "digits", "--reference_split", "train") == pytest.approx(0, abs=1e-6)


def test_progress_is_not_part_of_the_output(tmp_path, capsys, monkeypatch):
    def printing(*args, **kwargs):
        print("90/90")
        return {"compared": "a against b", "frechet_distance": 1.5}

    monkeypatch.setattr("compare_gan.scoring.score_images", printing)
    assert main(["frechet", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    captured = capsys.readouterr()
    assert captured.out == "1.5\n" and "90/90" in captured.err


def test_files_of_features_and_of_their_statistics(tmp_path, capsys):
    x, y = np.random.default_rng(0).normal([[[0]], [[0.3]]], 1, (2, 50, 4))
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "y.npz", mu=y.mean(0), sigma=np.cov(y, rowvar=False))
    expected = frechet_distance(*moments(x), *moments(y))
    assert printed(capsys, tmp_path / "x.npy", tmp_path / "y.npz") == pytest.approx(expected)


def test_images_of_other_modes_are_the_same_images(tmp_path, capsys):
    images, other = DIGITS.test.images[:70], DIGITS.train.images[:70]
    grey = write_images(tmp_path / "grey", images)
    reference = write_images(tmp_path / "reference", other)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for i, pixels in enumerate(images):
        image = Image.fromarray(pixels[..., 0])
        image.convert(("L", "RGB", "RGBA", "P")[i % 4]).save(mixed / f"{i:03d}.png")
    distances = [printed(capsys, each, reference, "--extractor", "digits") for each in (grey, mixed)]
    assert distances[0] == pytest.approx(distances[1], rel=1e-6)


def test_sizes_that_differ_are_refused_or_resized(tmp_path, capsys):
    small = write_images(tmp_path / "small", DIGITS.test.images[:70])
    mixed = write_images(tmp_path / "mixed", DIGITS.test.images[:70])
    Image.new("L", (12, 12)).save(mixed / "large.png")
    assert "is 8x8; set image_size" in refused(capsys, mixed, small, "--extractor", "digits")
    assert printed(capsys, mixed, small, "--extractor", "digits", "--image_size", 8) > 0
    large = write_images(tmp_path / "large", np.zeros((70, 12, 12, 1), np.uint8))
    assert "give --image_size for both" in refused(capsys, large, small, "--extractor", "digits")


def test_too_few_images_are_refused_or_warned_of(tmp_path, capsys, caplog):
    one = write_images(tmp_path / "one", DIGITS.test.images[:1])
    few = write_images(tmp_path / "few", DIGITS.test.images[:10])
    assert "one set has 1" in refused(capsys, one, few, "--extractor", "digits")
    assert main(["frechet", str(few), str(few), "--extractor", "digits"]) == 0
    assert "fewer than the 64 features" in caplog.text and capsys.readouterr().out == "0.0\n"
    assert "nothing: contains no images" in refused(capsys, write_images(tmp_path / "nothing", []), few)
    assert "no such file or folder" in refused(capsys, tmp_path / "missing", few)

"""`compare-gan sample`: selection of images and output formats."""

import numpy as np
import pytest
from PIL import Image

import compare_gan.commands.sample as command
from compare_gan.core.sampler import Sampler, row_by_row
from compare_gan.data import open_dataset
from compare_gan.data.source import find
from compare_gan.main import main

SHAPE = (2, 3, 3)


def latents(seed, numbers):
    """z [B, 2]: the seed and the index of the image."""
    return np.stack([np.full(len(numbers), seed), numbers], 1).astype(np.float32)


def generator(z, y=None):
    """Constant images whose channels are the index, the class and the seed, in units of 1/255."""
    label = np.zeros(len(z)) if y is None else y.argmax(1)
    colour = np.stack([z[:, 1], label, z[:, 0]], 1) / 255
    return np.broadcast_to(colour[:, None, None], (len(z), *SHAPE))


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """Runs `sample` with the generator above."""

    def call(out, *words, names=("cat", "dog", "7", "1"), prior="uniform"):
        sampler = Sampler(
            latents, generator, tuple(names), SHAPE, {"name": prior, "mean": 0.0, "stddev": 1.0}
        )
        monkeypatch.setattr(command, "sampler_from_run", lambda *_: sampler)
        return main(["sample", str(tmp_path / "run"), "--out", str(out), *map(str, words)])

    return call


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_has_a_file_per_image_and_a_folder_per_class(draw, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert draw(out, "--per_class", 3, "--classes", "dog", "1", "--seed", 9) == 0
    assert tree(out) == [f"{name}/{i:06}.png" for name in ("1", "dog") for i in range(3)]
    for k, (name, label) in enumerate((("dog", 1), ("1", 3))):  # "1" is a name first, class 1 only then
        for i in range(3):
            assert pixels(out / name / f"{i:06}.png")[0, 0].tolist() == [2 * i + k, label, 9]
    assert draw(out, "--per_class", 3, "--classes", "dog", "1", "--seed", 8) == 0  # in place of the first
    again = open_dataset(str(out))
    assert again.class_names == ("1", "dog") and len(again.train) + len(again.test) >= 6


def test_a_name_without_suffix_is_a_folder(draw, tmp_path):
    for name in ("new", "v1.5/"):
        assert draw(f"{tmp_path}/{name}", "--count", 5, names=()) == 0
        assert tree(tmp_path / name) == [f"{i:06}.png" for i in range(5)]


def test_a_folder_with_other_images_is_refused(draw, tmp_path, capsys):
    assert draw(tmp_path / "out", "--count", 5, names=()) == 0
    capsys.readouterr()
    assert draw(tmp_path / "out", "--count", 3, names=()) == 2
    assert "already contains other images, such as" in capsys.readouterr().err


def test_arrays_cycle_through_the_selected_classes(draw, tmp_path):
    assert draw(tmp_path / "x.npz", "--count", 5, "--classes", 2, "cat", "--seed", 8) == 0
    with np.load(tmp_path / "x.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert labels.tolist() == [2, 0, 2, 0, 2] and images.shape == (5, *SHAPE)
    np.testing.assert_array_equal(images[:, 0, 0], [[i, k, 8] for i, k in enumerate(labels)])
    read = find(str(tmp_path / "x.npz"))
    assert read.class_names == ("cat", "dog", "7", "1") and read.train.labels.tolist() == labels.tolist()


def test_truncation_limits_the_latent_vectors(draw, tmp_path):
    words = ("--count", 3, "--seed", 200, "--truncation", 1.5)
    assert draw(tmp_path / "x.npz", *words, names=(), prior="normal") == 0
    with np.load(tmp_path / "x.npz") as arrays:  # z is (200, index) without truncation
        assert arrays["images"][:, 0, 0].tolist() == [[0, 0, 2], [1, 0, 2], [1, 0, 2]]


def test_classes_named_by_numbers_are_selected_by_name_only(draw, tmp_path, capsys):
    names = ("3", "7", "42")
    assert draw(tmp_path / "x.npz", "--per_class", 2, "--classes", 7, "--classes", 3, names=names) == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["labels"].tolist() == [1, 0, 1, 0]
    assert draw(tmp_path / "y.npz", "--classes", 1, names=names) == 2
    assert "--classes 1: no such class; known: 3, 42, 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    "suffix, kind", [(".png", "PNG"), (".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP")]
)
def test_the_suffix_selects_the_picture_format(suffix, kind, draw, tmp_path):
    path = tmp_path / f"x{suffix}"
    assert draw(path, "--per_class", 2) == 0
    with Image.open(path) as picture:
        assert picture.format == kind and picture.size == (2 * 3, 4 * 2)
    if kind != "JPEG":
        rows = pixels(path)[::2, ::3]
        np.testing.assert_array_equal(rows[..., 0], np.arange(8).reshape(2, 4).T)
        np.testing.assert_array_equal(rows[..., 1], np.arange(4)[:, None] * [1, 1])


def test_a_picture_shows_the_first_ten_classes(draw, tmp_path, capsys):
    assert draw(tmp_path / "x.png", names=[f"class {i}" for i in range(1000)]) == 0
    assert "the first 10 of 1,000 classes" in capsys.readouterr().out
    assert pixels(tmp_path / "x.png").shape == (10 * 2, 10 * 3, 3)


def test_an_incomplete_picture_is_padded_with_white():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    assert row_by_row(images, 2).ravel().tolist() == [0, 2, 4, 1, 3, 255]


def test_batches_do_not_change_images(monkeypatch):
    sampler = Sampler(latents, generator, ("a", "b", "c"), SHAPE)
    expected, labels = sampler.images(20, 1, [2, 0])
    monkeypatch.setattr("compare_gan.core.sampler.BATCH", 7)
    parts = list(sampler.batches(20, 1, [2, 0]))
    assert [len(images) for images, _ in parts] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in parts]), expected)
    assert np.concatenate([found for _, found in parts]).tolist() == labels.tolist() == [2, 0] * 10


def test_class_names_that_are_not_file_names():
    assert command.class_folders(["tabby cat", "größe"]) == ["tabby cat", "größe"]
    for names in (["a/b", "c"], ["..", "x"], ["A", "a"], ["", "b"], [" a", "b"]):
        folders = command.class_folders(names)
        assert len({name.casefold() for name in folders}) == len(names)
        assert all("/" not in name and name.strip(" .") == name != "" for name in folders)


@pytest.mark.parametrize(
    "out, words, expected",
    [
        ("x.gif", [], "end in .npz, .png, .jpg, .jpeg, .webp"),
        ("x.npz", ["--classes", "dgo"], "did you mean 'dog'"),
        ("x.npz", ["--classes", "4"], "--classes 4: no such class; there are 4 classes, from 0"),
        ("x.npz", ["--count", "0"], "--count is 0"),
        ("x.npz", ["--truncation", "0"], "--truncation is 0.0"),
        ("x.npz", ["--truncation", "0.5"], "--truncation needs a Gaussian prior"),
        ("x.npz", ["--columns", "2", "--count", "3"], "leave out --per_class and --count"),
        ("x.webp", ["--per_class", "9000"], "is too large"),
    ],
)
def test_errors_are_reported_before_generation(out, words, expected, draw, tmp_path, capsys):
    def never(*_):
        raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.latents", never)
        assert draw(tmp_path / out, *words) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1 and not list(tmp_path.iterdir())


def test_an_unconditional_generator_has_no_classes(draw, tmp_path, capsys):
    assert draw(tmp_path / "x.npz", "--classes", "1", names=()) == 2
    assert "is unconditional, so --classes does not apply" in capsys.readouterr().err
